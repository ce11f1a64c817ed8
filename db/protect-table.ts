import { type RawBuilder, sql } from 'kysely'
import type { AnyKysely } from './any-kysely.js'
import { quoteIdentifier } from './identifier.js'
import { brokenTableRules, family, lacksIndex, policyStatements } from './table-rules.js'

/**
 * Puts a table under the policy that every scoped handle obeys: each user sees and writes the rows whose `user_id` is
 * their own, and no others. Call it in the migration that creates the table, after `create table`; again, where it was undone.
 *
 * The table needs a column `user_id text not null`, which gets the caller's id by default, and a btree index (a primary or unique
 * key is one) that starts with it, so that a statement reads the caller's rows and not everybody's. Row-level security is enabled
 * and forced (the owner is bound too), and the application role may select, insert, update and delete.
 *
 * @param table name of the table, with its schema where that is not the first in the search path (`billing.invoices`)
 * @throws when the table or its `user_id` is missing, when a key of it or of its partitions would tell whether another user's row exists
 * (a unique key must start with `user_id`, a foreign key lead from `user_id` to `user_id` or to a shared table), when no index
 * starts with `user_id`, for a view, and when the package's own migrations have not run yet
 */
export async function protectTable(db: AnyKysely, table: string): Promise<void> {
  await atOnce(db, trx => protect(trx, table))
}

/** Or the fence would find the table half done. */
async function atOnce(db: AnyKysely, change: (trx: AnyKysely) => Promise<void>): Promise<void> {
  await (db.isTransaction ? change(db) : db.transaction().execute(change))
}

async function protect(db: AnyKysely, table: string): Promise<void> {
  const name = sql.table(table)
  const relation = quotedName(table)
  const constraint = sql.id(`${table.split('.').at(-1)}_user_id_not_empty`)
  const roleName = await applicationRole(db)
  const role = sql.id(roleName)
  const broken = await brokenTableRules(db, relation)
  if (broken.length > 0) {
    throw new Error(`${table} cannot be protected: ${broken.map(({ problem }) => problem).join(', ')}.`)
  }
  if (await lacksIndex(db, relation)) {
    throw new Error(
      `${table} needs an index that starts with user_id, or each statement reads everybody's rows. ` +
        `Before protectTable: create index on ${relation} (user_id);`,
    )
  }
  const [policy] = await openPolicies(db, relation)
  if (policy !== undefined)
    throw new Error(
      `${table} cannot be protected: its policy ${policy} may open more than own rows. Drop it first.`,
    )
  await sql`
    alter table ${name}
      drop constraint if exists ${constraint},
      alter column user_id set not null,
      alter column user_id set default trpc_bearer.user_id(),
      add constraint ${constraint} check (user_id <> ''),
      enable row level security,
      force row level security`.execute(db)
  for (const statement of policyStatements(relation, quoteIdentifier(roleName)))
    await sql.raw(statement).execute(db)
  await openSchema(db, relation, role)
  await sql`delete from trpc_bearer.shared_table where relation = ${relation}::regclass`.execute(db)
  // Default privileges may have given more, which no policy binds (truncate).
  await sql`revoke all on ${name} from public, ${role}`.execute(db)
  await sql`grant select, insert, update, delete on ${name} to ${role}`.execute(db)
  for (const sequence of await sequencesOf(db, relation))
    await sql`grant usage on sequence ${sql.raw(sequence)} to ${role}`.execute(db)
}

async function openPolicies(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select polname as name from pg_catalog.pg_policy
    where polrelid = ${relation}::regclass and polpermissive and polname <> 'own_rows'`.execute(db)
  return rows.map(row => row.name)
}

/** Those that its serial columns take their numbers from. */
async function sequencesOf(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select s.oid::regclass::text as name
    from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_class'::regclass and d.refobjid = ${relation}::regclass and d.deptype = 'a'`.execute(
    db,
  )
  return rows.map(row => row.name)
}

async function applicationRole(db: AnyKysely): Promise<string> {
  const there = await sql<{ there: boolean }>`
    select to_regprocedure('trpc_bearer.application_role()') is not null as there`.execute(db)
  if (!there.rows[0]?.there)
    throw new Error('Run the migrations of trpc-bearer (migrateToLatest) before protectTable.')
  const { rows } = await sql<{ role: string }>`select trpc_bearer.application_role() as role`.execute(db)
  return rows[0]?.role ?? ''
}

async function openSchema(db: AnyKysely, relation: string, role: RawBuilder<unknown>): Promise<void> {
  const { rows } = await sql<{ schema: string }>`
    select relnamespace::regnamespace::text as schema from pg_catalog.pg_class where oid = ${relation}::regclass`.execute(
    db,
  )
  for (const { schema } of rows) await sql`grant usage on schema ${sql.raw(schema)} to ${role}`.execute(db)
}

async function kindOf(
  db: AnyKysely,
  relation: string,
): Promise<{ isTable?: boolean; isProtected?: boolean }> {
  const { rows } = await sql<{ isTable: boolean; isProtected: boolean }>`
    with recursive ${family(relation)},
    ancestors as (
      select inhparent as oid from pg_catalog.pg_inherits where inhrelid = ${relation}::regclass
      union
      select h.inhparent from ancestors join pg_catalog.pg_inherits h on h.inhrelid = ancestors.oid
    )
    select bool_or(relkind in ('r', 'p')) filter (where c.oid = ${relation}::regclass) as "isTable",
      bool_or(relforcerowsecurity) as "isProtected"
    from (select oid from family union select oid from ancestors) kin
    join pg_catalog.pg_class c on c.oid = kin.oid`.execute(db)
  return rows[0] ?? {}
}

const quotedName = (table: string) => table.split('.').map(quoteIdentifier).join('.')

/**
 * Lets every user read a table that belongs to nobody, such as countries or prices: the application role may select, and nothing
 * else.
 *
 * @param table name of the table, with its schema where that is not the first in the search path
 * @throws for a table that is protected, and for what is no table: a view shows the rows that its owner sees, and a foreign table those of another server
 */
export async function shareTable(db: AnyKysely, table: string): Promise<void> {
  await atOnce(db, trx => share(trx, table))
}

async function share(db: AnyKysely, table: string): Promise<void> {
  const relation = quotedName(table)
  const role = sql.id(await applicationRole(db))
  const { isTable, isProtected } = await kindOf(db, relation)
  if (!isTable) {
    throw new Error(
      `${table} cannot be shared: it is no table. Give a view security_invoker, and grant select on it to the role.`,
    )
  }
  if (isProtected)
    throw new Error(
      `${table} cannot be shared: it is protected, or a table that inherits from it, or that it inherits from. Drop that one's policy and row security first.`,
    )
  await sql`
    insert into trpc_bearer.shared_table values (${relation}::regclass) on conflict do nothing`.execute(db)
  await openSchema(db, relation, role)
  await sql`revoke insert, update, delete, truncate, references, trigger on ${sql.table(table)} from public, ${role}`.execute(
    db,
  )
  await sql`grant select on ${sql.table(table)} to ${role}`.execute(db)
}
