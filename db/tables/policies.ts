import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { callerValue, type Owner, type OwnerType, ownerTypes, ownerTypeTable } from './owner.js'

/** How a policy compares the owner: `once` a statement (an init plan), or `inline`, for engines that allow no subquery (Citus). */
export type PolicyForm = 'once' | 'inline'

/**
 * `policies_first()` keeps a caller's conditions from running before the policy.
 *
 * The policy `own_rows_first` is there because PostgreSQL derives conditions from equalities, a caller's `body = user_id` included, and
 * may run them as early as the policy that contains the equality. Its condition is not an equality, and restrictive policies run before
 * permissive ones, so it comes before everything a caller writes.
 */
function conditionsOf(owner: Owner, form: PolicyForm) {
  const isOwn = `${owner.column} = ${form === 'once' ? `(select ${callerValue(owner)})` : callerValue(owner)}`
  return {
    using: `trpc_bearer.policies_first() and ${isOwn}`,
    check: isOwn,
    first: `(case when ${isOwn} then true end) is not null`,
  }
}

/** The statements that give a table both policies. Policies of these names are replaced. */
export function policyStatements(
  table: string,
  role: string,
  owner: Owner,
  form: PolicyForm = 'once',
): string[] {
  const { using, check, first } = conditionsOf(owner, form)
  return [
    `drop policy if exists own_rows on ${table};`,
    `drop policy if exists own_rows_first on ${table};`,
    `create policy own_rows on ${table} to ${role} using (${using}) with check (${check});`,
    `create policy own_rows_first on ${table} as restrictive to ${role} using (${first}) with check (true);`,
  ]
}

/** SQL: whether a policy, a row of pg_policy, applies to the role. */
export const appliesTo = (role: string) => sql`(0 = any (polroles)
  or exists (select from unnest(polroles) r where pg_catalog.pg_has_role(${role}, r, 'usage')))`

/** Mark the places of the column and of `by` in a printed condition. No name has these characters. */
const [columnMark, byMark] = ['\u0001', '\u0002']

/** The conditions as PostgreSQL prints them if the search path is empty, so that the functions can only be ours. */
function printedConditions(type: OwnerType, isUser: boolean, form: PolicyForm) {
  const value = callerValue({ type, by: isUser ? 'user' : byMark })
  const [, name] = /^trpc_bearer\.(\w+)/.exec(value) ?? []
  const column = type === 'character varying' ? `(${columnMark})::text` : columnMark
  const isOwn = `(${column} = ${form === 'once' ? `( SELECT ${value} AS ${name})` : value})`
  return {
    using: `(trpc_bearer.policies_first() AND ${isOwn})`,
    check: isOwn,
    first: `(\nCASE\n    WHEN ${isOwn} THEN true\n    ELSE NULL::boolean\nEND IS NOT NULL)`,
  }
}

/** SQL table of all of them: the type of the column, whether the owner is the user, and the three conditions. */
const printedTable = sql`(values ${sql.join(
  ownerTypes.flatMap(type =>
    [true, false].flatMap(isUser =>
      (['once', 'inline'] as const).map(form => {
        const { using, check, first } = printedConditions(type, isUser, form)
        return sql`(${type}::text, ${isUser}::boolean, ${using}::text, ${check}::text, ${first}::text)`
      }),
    ),
  ),
)})`

/** SQL: a printed condition with the column and `by` of a table. */
const inPlace = (condition: string) =>
  sql`replace(replace(${sql.ref(condition)}, ${columnMark}, quote_ident(r.owner)), ${byMark}, r.owned_by)`

/**
 * SQL query of the tables that were given to `protectTable`: oid, name of the owner column, `owned_by`, its number and type, the equality
 * of the type, and lists of the conditions that its policies may have. Column and type are null if the table has lost the column.
 */
export const protectedTables = sql`(
  select r.relation::oid as oid, r.owner::text as owner, r.owned_by, a.attnum as owner_number, t.name as owner_type, t.equality,
    allowed.using_conditions, allowed.check_conditions, allowed.first_conditions
  from trpc_bearer.protected_tables() r
  left join pg_catalog.pg_attribute a on a.attrelid = r.relation and a.attname = r.owner and not a.attisdropped
  left join ${ownerTypeTable} t (oid, name, equality) on t.oid = a.atttypid
  cross join lateral (
    select array_agg(${inPlace('using_condition')}) as using_conditions, array_agg(${inPlace('check_condition')}) as check_conditions,
      array_agg(${inPlace('first_condition')}) as first_conditions
    from ${printedTable} p (type, is_user, using_condition, check_condition, first_condition)
    where p.type = t.name and p.is_user = (r.owned_by = 'user')
  ) allowed
)`

/**
 * Finds protected tables on which `own_rows_first` does not come first: it is missing, or another restrictive policy has a name that
 * sorts before it. PostgreSQL applies restrictive policies in the order of their names.
 *
 * @param db with an empty search path, so that PostgreSQL prints whole names
 * @param tables names with their schemas, as `format('%I.%I')` writes them
 */
export async function findTablesWithoutFirstPolicy(
  db: AnyKysely,
  tables: readonly string[],
  role: string,
): Promise<{ name: string; earlier: string[]; owner: Owner }[]> {
  const { rows } = await sql<{ name: string; earlier: string[]; owner: Owner }>`
    select name, earlier, json_build_object('column', quote_ident(own.owner), 'type', own.owner_type, 'by', own.owned_by) as owner
    from ${protectedTables} own
    join pg_catalog.pg_class c on c.oid = own.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
      pg_catalog.format('%I.%I', n.nspname, c.relname) name,
      lateral (
        select array(
          select pg_catalog.quote_ident(polname) from pg_catalog.pg_policy
          where polrelid = c.oid and not polpermissive and polname < 'own_rows_first' order by 1
        ) as earlier
      ) restrictive
    -- In this order: the condition of a table that is locked, and not among these, would have to wait.
    where case when name = any (${tables}) then earlier <> '{}' or not exists (
      select from pg_catalog.pg_policy p
      where p.polrelid = c.oid and not p.polpermissive and p.polcmd = '*' and p.polname = 'own_rows_first'
        and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = any (own.first_conditions)
        and ${appliesTo(role)}
    ) end
    order by 1`.execute(db)
  return rows
}
