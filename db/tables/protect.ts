import { type RawBuilder, sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { type Owner, ownerDefault, ownerName } from './owner.js'
import { policyStatements } from './policies.js'
import { requireProtectable } from './refusals.js'
import { ancestorsOfTree, findTablesWithoutOwnerIndex, tableTree } from './rules.js'

/** Options of {@link protectTable}. */
export interface ProtectOptions {
  /** The column that holds the owner's id: text, varchar, uuid, integer or bigint. @default 'user_id' */
  owner?: string | undefined
  /** The value of the caller that it is compared with: a name of the option `owners` of `openDatabase`. @default 'user', the user's id */
  by?: string | undefined
}

/** Above this size `create index` would block writes for too long. */
const bigTable = 256 * 2 ** 20

/**
 * Protects a table: each user sees and writes only the rows whose owner column has their id. Call it in a migration. Calling it again
 * restores the protection.
 *
 * The table may have rows, any primary key and any foreign keys; a partitioned table is protected with its partitions. Row-level
 * security is enabled and not forced: the owner of the table sees every row, the application role only those of the caller. The default
 * of the owner column becomes the caller's id. If no index starts with the owner column, one is created. The application role may select,
 * insert, update and delete. A caller whose id does not fit the type of the column sees no rows.
 *
 * @param table name of the table, with its schema if that is not the first in the search path (`billing.invoices`)
 * @throws Error if the table or the column is missing or has another type, if another policy gives the application role rows, if the table
 * has a rule (`create rule`), if an insert calls a function that the application role may not execute, if an index is missing and the
 * table is over 256 MB, or if `migrateToLatest` has not run
 */
export async function protectTable(
  db: AnyKysely,
  table: string,
  options: ProtectOptions = {},
): Promise<void> {
  await inTransaction(db, table, (trx, relation) =>
    protect(trx, relation, options, name => columnIn(db, name)),
  )
}

/**
 * Takes back what `protectTable` has set up: afterwards the application role cannot use the table. Does nothing if the table was not given
 * to `protectTable`.
 *
 * @param table name of the table, with its schema if that is not the first in the search path
 */
export async function unprotectTable(db: AnyKysely, table: string): Promise<void> {
  await inTransaction(db, table, unprotect)
}

/**
 * Without a transaction an audit could see the table half protected. Plugins of the handle, such as `withSchema`, count for the name of the
 * table, and for nothing else.
 *
 * @param change receives the name as `regclass` accepts it
 */
async function inTransaction(
  db: AnyKysely,
  table: string,
  change: (trx: AnyKysely, relation: string) => Promise<void>,
): Promise<void> {
  const relation = db
    .deleteFrom(table)
    .compile()
    .sql.replace(/^delete from /, '')
  const run = (trx: AnyKysely) => change(trx.withoutPlugins(), relation)
  await (db.isTransaction ? run(db) : db.transaction().execute(run))
}

/** The name of a column, as the plugins of the handle change it. */
const columnIn = (db: AnyKysely, name: string) =>
  sql`${sql.id(name)}`.compile(db).sql.slice(1, -1).replaceAll('""', '"')

async function protect(
  db: AnyKysely,
  relation: string,
  { owner = 'user_id', by = 'user' }: ProtectOptions,
  columnOf: (name: string) => string,
): Promise<void> {
  const column = columnOf(owner)
  if (!ownerName.test(by))
    throw new TypeError(
      `by must be a name such as org, of lower-case letters, digits and _, not ${JSON.stringify(by)}.`,
    )
  const name = sql.raw(relation)
  const roleName = await applicationRole(db)
  const role = sql.id(roleName)
  const { type, maxLength } = await requireProtectable(db, relation, { column, by, role: roleName })
  await createOwnerIndex(db, relation, column)
  const rows: Owner = { column: quoteIdentifier(column), type, by }
  await forgetDroppedTables(db)
  await restoreDefault(db, relation)
  const oldDefault = await findOldDefault(db, relation, column)
  await sql`
    insert into trpc_bearer.protected_table
    select oid, ${column}, ${by}, relrowsecurity, ${oldDefault} from pg_catalog.pg_class where oid = ${relation}::regclass
    on conflict (relation) do update
    set owner = excluded.owner, owned_by = excluded.owned_by, old_default = excluded.old_default`.execute(db)
  await sql`delete from trpc_bearer.shared_table where relation = ${relation}::regclass`.execute(db)
  await sql`alter table ${name} enable row level security, no force row level security`.execute(db)
  if (oldDefault !== identity) {
    // Who inserts without an identity, such as the owner of the table, gets the default that the column had.
    const own = ownerDefault(rows, maxLength)
    const value = oldDefault === null ? own : `coalesce(${own}, ${oldDefault})`
    await sql`alter table ${name} alter column ${sql.id(column)} set default ${sql.raw(value)}`.execute(db)
  }
  await createPolicies(db, relation, roleName, rows)
  await grantSchemaUsage(db, relation, role)
  // Default privileges may grant more, such as truncate, which no policy restricts.
  await sql`revoke all on ${name} from public, ${role}`.execute(db)
  for (const below of await tablesBelow(db, relation))
    await sql`revoke all on ${sql.raw(below)} from public, ${role}`.execute(db)
  await sql`grant select, insert, update, delete on ${name} to ${role}`.execute(db)
  for (const sequence of await serialSequences(db, relation))
    await sql`grant usage on sequence ${sql.raw(sequence)} to ${role}`.execute(db)
}

async function forgetDroppedTables(db: AnyKysely): Promise<void> {
  for (const list of ['protected_table', 'shared_table'])
    await sql`
      delete from ${sql.table(`trpc_bearer.${list}`)} where relation not in (select oid from pg_catalog.pg_class)`.execute(
      db,
    )
}

/** On a partitioned table it is created for all partitions at once, and takes over those that they have. */
async function createOwnerIndex(db: AnyKysely, relation: string, column: string): Promise<void> {
  const lacking = await findTablesWithoutOwnerIndex(db, relation, column)
  const statementFor = (name: string, how = '') =>
    `create index${how} on ${name} (${quoteIdentifier(column)})`
  const stored = lacking.filter(({ isPartitioned }) => !isPartitioned)
  if (stored.reduce((sum, { bytes }) => sum + bytes, 0) > bigTable) {
    const statements = stored.map(({ name }) => `${statementFor(name, ' concurrently')};`)
    throw new Error(
      `${relation} has no index that starts with ${column}, and is too big to create one while others write. Run this before protectTable: ${statements.join(' ')}`,
    )
  }
  const root = lacking.find(({ isPartitioned, isRoot }) => isPartitioned && isRoot)
  const tables = root === undefined ? stored : [root]
  for (const { name } of tables) await sql.raw(statementFor(name)).execute(db)
}

/** Partitions, and tables that inherit from it. Without a grant they are reached through the table only. */
async function tablesBelow(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    with recursive ${tableTree(relation)}
    select c.oid::regclass::text as name from tree join pg_catalog.pg_class c on c.oid = tree.oid
    where parent is not null and c.oid not in (select relation from trpc_bearer.protected_tables())
      and (c.relacl is not null or exists (select from pg_catalog.pg_attribute where attrelid = c.oid and attacl is not null))`.execute(
    db,
  )
  return rows.map(row => row.name)
}

/** Citus allows no subquery in a policy of a distributed table. */
async function createPolicies(db: AnyKysely, relation: string, role: string, owner: Owner): Promise<void> {
  const create = async (form: 'once' | 'inline') => {
    for (const statement of policyStatements(relation, quoteIdentifier(role), owner, form))
      await sql.raw(statement).execute(db)
  }
  await sql`savepoint own_rows`.execute(db)
  try {
    await create('once')
  } catch (error) {
    const isUnsupported = error instanceof Error && 'code' in error && error.code === '0A000'
    if (!isUnsupported) throw error
    await sql`rollback to own_rows`.execute(db)
    await create('inline')
  }
  await sql`release own_rows`.execute(db)
}

async function unprotect(db: AnyKysely, relation: string): Promise<void> {
  const name = sql.raw(relation)
  const role = sql.id(await applicationRole(db))
  const { rows } = await sql<{ hadRowSecurity: boolean; hasOtherPolicies: boolean }>`
    select had_row_security as "hadRowSecurity", exists (
      select from pg_catalog.pg_policy where polrelid = relation and polname not in ('own_rows', 'own_rows_first')
    ) as "hasOtherPolicies"
    from trpc_bearer.protected_table where relation = ${relation}::regclass`.execute(db)
  const [found] = rows
  if (found === undefined) return
  await restoreDefault(db, relation)
  await sql`delete from trpc_bearer.protected_table where relation = ${relation}::regclass`.execute(db)
  await sql`drop policy if exists own_rows on ${name}`.execute(db)
  await sql`drop policy if exists own_rows_first on ${name}`.execute(db)
  await sql`revoke all on ${name} from ${role}`.execute(db)
  for (const sequence of await serialSequences(db, relation))
    await sql`revoke usage on sequence ${sql.raw(sequence)} from ${role}`.execute(db)
  // Without row-level security a policy for another login would open every row to it.
  if (!found.hadRowSecurity && !found.hasOtherPolicies)
    await sql`alter table ${name} disable row level security`.execute(db)
}

/** Stands for the default of an identity column, which cannot have another one. */
const identity = 'identity'

async function findDefault(db: AnyKysely, relation: string, column: string): Promise<string | null> {
  const { rows } = await sql<{ text: string | null }>`
    select case when a.attidentity <> '' then ${identity} else pg_catalog.pg_get_expr(d.adbin, d.adrelid) end as text
    from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = ${relation}::regclass and a.attname = ${column} and not a.attisdropped`.execute(db)
  return rows[0]?.text ?? null
}

/** The default before the first call. A column that was renamed since still has ours. */
async function findOldDefault(db: AnyKysely, relation: string, column: string): Promise<string | null> {
  const found = await findDefault(db, relation, column)
  if (!found?.includes('trpc_bearer.')) return found
  const { rows } = await sql<{ oldDefault: string | null }>`
    select old_default as "oldDefault" from trpc_bearer.protected_table where relation = ${relation}::regclass`.execute(
    db,
  )
  return rows[0]?.oldDefault ?? null
}

/** Gives the owner column of an earlier call the default that it had before. */
async function restoreDefault(db: AnyKysely, relation: string): Promise<void> {
  const { rows } = await sql<{ column: string; oldDefault: string | null }>`
    select owner as column, old_default as "oldDefault"
    from trpc_bearer.protected_table join pg_catalog.pg_attribute on attrelid = relation and attname = owner
    where relation = ${relation}::regclass and not attisdropped and old_default is distinct from ${identity}`.execute(
    db,
  )
  for (const { column, oldDefault } of rows) {
    const change = oldDefault === null ? 'drop default' : `set default ${oldDefault}`
    await sql`alter table ${sql.raw(relation)} alter column ${sql.id(column)} ${sql.raw(change)}`.execute(db)
  }
}

/** The sequences of its serial columns, and others that its defaults draw from. */
async function serialSequences(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select s.oid::regclass::text as name
    from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_class'::regclass and d.refobjid = ${relation}::regclass and d.deptype = 'a'
    union
    select s.oid::regclass::text
    from pg_catalog.pg_attrdef a join pg_catalog.pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid
    join pg_catalog.pg_class s on s.oid = d.refobjid and d.refclassid = 'pg_class'::regclass and s.relkind = 'S'
    where a.adrelid = ${relation}::regclass`.execute(db)
  return rows.map(row => row.name)
}

async function applicationRole(db: AnyKysely): Promise<string> {
  const found = await sql<{ exists: boolean }>`
    select to_regprocedure('trpc_bearer.protected_tables()') is not null as exists`.execute(db)
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
    with recursive ${tableTree(relation)}, ${ancestorsOfTree}
    select bool_or(relkind in ('r', 'p')) filter (where c.oid = ${relation}::regclass) as "isTable",
      bool_or(c.relrowsecurity or c.oid in (select relation from trpc_bearer.protected_tables())) as "isProtected"
    from (select oid from tree union select oid from ancestors) related
    join pg_catalog.pg_class c on c.oid = related.oid`.execute(db)
  return rows[0] ?? {}
}

/**
 * Shares a table that has no owner column, such as countries or prices: every user may read it, and nobody may change it.
 *
 * @param table name of the table, with its schema if that is not the first in the search path
 * @throws if the table is protected, or if it is a view or a foreign table
 */
export async function shareTable(db: AnyKysely, table: string): Promise<void> {
  await inTransaction(db, table, (trx, relation) => share(trx, relation, table))
}

async function share(db: AnyKysely, relation: string, table: string): Promise<void> {
  const name = sql.raw(relation)
  const role = sql.id(await applicationRole(db))
  const { isTable, isProtected } = await describeTable(db, relation)
  if (!isTable) {
    throw new Error(
      `${table} cannot be shared: it is not a table. For a view, set security_invoker and grant select on it to the application role.`,
    )
  }
  if (isProtected)
    throw new Error(
      `${table} cannot be shared: it, a parent or a child has row-level security. Call unprotectTable first.`,
    )
  await forgetDroppedTables(db)
  await sql`
    insert into trpc_bearer.shared_table values (${relation}::regclass) on conflict do nothing`.execute(db)
  await grantSchemaUsage(db, relation, role)
  // All of them, because default privileges may grant more than the names here. Other logins may still read it.
  const isPublic = await sql<{ readable: boolean }>`
    select has_table_privilege('public', ${relation}::regclass, 'select') as readable`.execute(db)
  await sql`revoke all on ${name} from public, ${role}`.execute(db)
  await sql`grant select on ${name} to ${role}`.execute(db)
  if (isPublic.rows[0]?.readable) await sql`grant select on ${name} to public`.execute(db)
}

/** Quotes an identifier for SQL that Kysely cannot build. */
function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
