import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

const isOwnRow = 'user_id = (select trpc_bearer.user_id())'

/** Conditions of the policy `own_rows`. `policies_first()` keeps a caller's conditions from running before the policy. */
const ownRows = { using: `trpc_bearer.policies_first() and ${isOwnRow}`, check: isOwnRow }

/**
 * The condition of the restrictive policy `own_rows_first`. PostgreSQL derives conditions from equalities, a caller's
 * `body = user_id` included, and may run them as early as the policy that contains the equality. This condition is not an
 * equality, and restrictive policies run before permissive ones, so it comes before everything a caller writes.
 */
const ownRowsFirst = `(case when ${isOwnRow} then true end) is not null`

/** The conditions as PostgreSQL prints them if the search path is empty, so that `user_id()` can only be ours. */
export const printedPolicies = {
  ownRows: {
    using: '(trpc_bearer.policies_first() AND (user_id = ( SELECT trpc_bearer.user_id() AS user_id)))',
    check: '(user_id = ( SELECT trpc_bearer.user_id() AS user_id))',
  },
  ownRowsFirst: `(
CASE
    WHEN (user_id = ( SELECT trpc_bearer.user_id() AS user_id)) THEN true
    ELSE NULL::boolean
END IS NOT NULL)`,
}

/** The statements that give a table both policies. Policies of these names are replaced. */
export const policyStatements = (table: string, role: string) => [
  `drop policy if exists own_rows on ${table};`,
  `drop policy if exists own_rows_first on ${table};`,
  `create policy own_rows on ${table} to ${role} using (${ownRows.using}) with check (${ownRows.check});`,
  `create policy own_rows_first on ${table} as restrictive to ${role} using (${ownRowsFirst}) with check (true);`,
]

/** SQL: whether a policy, a row of pg_policy, applies to the role. */
export const appliesTo = (role: string) => sql`(0 = any (polroles)
  or exists (select from unnest(polroles) r where pg_catalog.pg_has_role(${role}, r, 'usage')))`

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
): Promise<{ name: string; earlier: string[] }[]> {
  const { rows } = await sql<{ name: string; earlier: string[] }>`
    select name, earlier
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
      pg_catalog.format('%I.%I', n.nspname, c.relname) name,
      lateral (
        select array(
          select pg_catalog.quote_ident(polname) from pg_catalog.pg_policy
          where polrelid = c.oid and not polpermissive and polname < 'own_rows_first' order by 1
        ) as earlier
      ) restrictive
    where name = any (${tables}) and (earlier <> '{}' or not exists (
      select from pg_catalog.pg_policy p
      where p.polrelid = c.oid and not p.polpermissive and p.polcmd = '*' and p.polname = 'own_rows_first'
        and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = ${printedPolicies.ownRowsFirst}
        and ${appliesTo(role)}
    ))
    order by 1`.execute(db)
  return rows
}
