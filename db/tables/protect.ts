import { type RawBuilder, sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { policyStatements } from './policies.js'
import { findBrokenRules, lacksUserIdIndex, tableTree } from './rules.js'

/**
 * Protects a table: each user sees and writes only the rows whose `user_id` is their own. Call it in the migration that creates the
 * table, after `create table`. Calling it again restores the protection.
 *
 * The table needs a column `user_id text` and a btree index that starts with it (a primary key counts). Unique keys must start with
 * `user_id`, and a foreign key must map `user_id` to `user_id` or lead to a shared table: other keys reveal rows of other users.
 *
 * The default of `user_id` becomes the caller's id. Row-level security is enabled and forced, so it applies to the owner too. The
 * application role may select, insert, update and delete.
 *
 * @param table name of the table, with its schema if that is not the first in the search path (`billing.invoices`)
 * @throws if the table is missing, is a view or breaks one of these rules, or if `migrateToLatest` has not run
 */
export async function protectTable(db: AnyKysely, table: string): Promise<void> {
  await inTransaction(db, trx => protect(trx, table))
}

/** Without a transaction an audit could see the table half protected. */
async function inTransaction(db: AnyKysely, change: (trx: AnyKysely) => Promise<void>): Promise<void> {
  await (db.isTransaction ? change(db) : db.transaction().execute(change))
}

async function protect(db: AnyKysely, table: string): Promise<void> {
  const name = sql.table(table)
  const relation = quoteTableName(table)
  const constraint = sql.id(`${table.split('.').at(-1)}_user_id_not_empty`)
  const roleName = await applicationRole(db)
  const role = sql.id(roleName)
  const broken = await findBrokenRules(db, relation)
  if (broken.length > 0) {
    throw new Error(`${table} cannot be protected: ${broken.map(({ problem }) => problem).join(', ')}.`)
  }
  if (await lacksUserIdIndex(db, relation)) {
    throw new Error(
      `${table} needs an index that starts with user_id, or each statement reads the rows of all users. ` +
        `Run this before protectTable: create index on ${relation} (user_id);`,
    )
  }
  const [policy] = await otherPolicies(db, relation)
  if (policy !== undefined)
    throw new Error(
      `${table} cannot be protected: drop its policy ${policy}, or make it restrictive with a name that sorts after own_rows_first.`,
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
  await grantSchemaUsage(db, relation, role)
  await sql`delete from trpc_bearer.shared_table where relation = ${relation}::regclass`.execute(db)
  // Default privileges may grant more, such as truncate, which no policy restricts.
  await sql`revoke all on ${name} from public, ${role}`.execute(db)
  await sql`grant select, insert, update, delete on ${name} to ${role}`.execute(db)
  for (const sequence of await serialSequences(db, relation))
    await sql`grant usage on sequence ${sql.raw(sequence)} to ${role}`.execute(db)
}

async function otherPolicies(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select polname as name from pg_catalog.pg_policy
    where polrelid = ${relation}::regclass
      and case when polpermissive then polname <> 'own_rows' else polname < 'own_rows_first' end`.execute(db)
  return rows.map(row => row.name)
}

/** The sequences of its serial columns. */
async function serialSequences(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select s.oid::regclass::text as name
    from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_class'::regclass and d.refobjid = ${relation}::regclass and d.deptype = 'a'`.execute(
    db,
  )
  return rows.map(row => row.name)
}

async function applicationRole(db: AnyKysely): Promise<string> {
  const found = await sql<{ exists: boolean }>`
    select to_regprocedure('trpc_bearer.application_role()') is not null as exists`.execute(db)
  if (!found.rows[0]?.exists)
    throw new Error('Run the migrations of trpc-bearer (migrateToLatest) before protectTable and shareTable.')
  const { rows } = await sql<{ role: string }>`select trpc_bearer.application_role() as role`.execute(db)
  return rows[0]?.role ?? ''
}

async function grantSchemaUsage(db: AnyKysely, relation: string, role: RawBuilder<unknown>): Promise<void> {
  const { rows } = await sql<{ schema: string }>`
    select relnamespace::regnamespace::text as schema from pg_catalog.pg_class where oid = ${relation}::regclass`.execute(
    db,
  )
  for (const { schema } of rows) await sql`grant usage on schema ${sql.raw(schema)} to ${role}`.execute(db)
}

async function describeTable(
  db: AnyKysely,
  relation: string,
): Promise<{ isTable?: boolean; isProtected?: boolean }> {
  const { rows } = await sql<{ isTable: boolean; isProtected: boolean }>`
    with recursive ${tableTree(relation)},
    ancestors as (
      select inhparent as oid from pg_catalog.pg_inherits where inhrelid = ${relation}::regclass
      union
      select h.inhparent from ancestors join pg_catalog.pg_inherits h on h.inhrelid = ancestors.oid
    )
    select bool_or(relkind in ('r', 'p')) filter (where c.oid = ${relation}::regclass) as "isTable",
      bool_or(relforcerowsecurity) as "isProtected"
    from (select oid from tree union select oid from ancestors) related
    join pg_catalog.pg_class c on c.oid = related.oid`.execute(db)
  return rows[0] ?? {}
}

const quoteTableName = (table: string) => table.split('.').map(quoteIdentifier).join('.')

/**
 * Shares a table that has no owner column, such as countries or prices: every user may read it, and nobody may change it.
 *
 * @param table name of the table, with its schema if that is not the first in the search path
 * @throws if the table is protected, or if it is a view or a foreign table
 */
export async function shareTable(db: AnyKysely, table: string): Promise<void> {
  await inTransaction(db, trx => share(trx, table))
}

async function share(db: AnyKysely, table: string): Promise<void> {
  const relation = quoteTableName(table)
  const role = sql.id(await applicationRole(db))
  const { isTable, isProtected } = await describeTable(db, relation)
  if (!isTable) {
    throw new Error(
      `${table} cannot be shared: it is not a table. For a view, set security_invoker and grant select on it to the application role.`,
    )
  }
  if (isProtected)
    throw new Error(
      `${table} cannot be shared: it is protected, or a table that it inherits from or that inherits from it. Drop the policies and disable row-level security first.`,
    )
  await sql`
    insert into trpc_bearer.shared_table values (${relation}::regclass) on conflict do nothing`.execute(db)
  await grantSchemaUsage(db, relation, role)
  await sql`revoke insert, update, delete, truncate, references, trigger on ${sql.table(table)} from public, ${role}`.execute(
    db,
  )
  await sql`grant select on ${sql.table(table)} to ${role}`.execute(db)
}

/** Quotes an identifier for SQL that Kysely cannot build. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
