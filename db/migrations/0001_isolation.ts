import { type Kysely, sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { protectTable } from '../tables/protect.js'
import { migrationTable } from './migration-table.js'

/**
 * Creates the application role, and the schema `trpc_bearer` with the functions that every policy calls. On a database of an earlier
 * version it also renews the policies of the protected tables.
 *
 * @param role name of the role that scoped statements run as
 */
export async function up(db: AnyKysely, role: string): Promise<void> {
  await grantAccess(db, role)
  await sql`
    create or replace function trpc_bearer.application_role() returns name
      language sql immutable parallel safe set search_path = ''
      return ${sql.lit(role)}::name`.execute(db)
  await createIdentityFunctions(db)
  await createConversions(db)
  // At the level signed it rejects a plan that could run a caller's condition before the policy.
  await createUnlessItExists(
    db,
    'trpc_bearer.policies_first()',
    sql`
    create function trpc_bearer.policies_first() returns boolean
      language sql immutable parallel safe
      return true`,
  )
  await createTableLists(db)
  await sql`
    create or replace function trpc_bearer.migrations() returns setof text
      language sql stable security definer set search_path = ''
      begin atomic select name from ${sql.table(migrationTable)}; end`.execute(db)
  await renewProtection(db)
}

/** Restores what a dump without roles and privileges leaves out: the application role, and the right to use the schema. */
export async function restoreAccess(db: AnyKysely): Promise<void> {
  const { rows } = await sql<{ role: string; isWhole: boolean }>`
    select role, has_schema_privilege('public', 'trpc_bearer', 'usage') and to_regrole(quote_ident(role)) is not null as "isWhole"
    from trpc_bearer.application_role() role`.execute(db)
  for (const { role } of rows.filter(({ isWhole }) => !isWhole)) await grantAccess(db, role)
}

/** The schema is open to every role, because the serving login needs it for the audit. */
async function grantAccess(db: AnyKysely, role: string): Promise<void> {
  await createRole(db, role)
  await sql`grant usage on schema trpc_bearer to public`.execute(db)
}

/**
 * Drops the functions and lists, and with them the policies of the protected tables, which nobody but their owners can read then. The
 * record of the migrations stays, and so does the role, because other databases of the cluster may use it.
 */
export async function down(db: AnyKysely): Promise<void> {
  await sql`
    do $$
    declare
      routine regprocedure;
    begin
      for routine in select oid from pg_catalog.pg_proc where pronamespace = 'trpc_bearer'::regnamespace loop
        execute pg_catalog.format('drop function if exists %s cascade', routine);
      end loop;
    end $$`.execute(db)
  for (const table of ['protected_table', 'shared_table', 'fence_key'])
    await sql`drop table if exists ${sql.table(`trpc_bearer.${table}`)} cascade`.execute(db)
}

/**
 * On a used connection a setting is '' instead of null: without nullif an empty id would match rows. They set no search path, so that
 * the planner can inline them: every name in them is qualified.
 */
async function createIdentityFunctions(db: AnyKysely): Promise<void> {
  await createUnlessItExists(
    db,
    'trpc_bearer.user_id()',
    sql`
    create function trpc_bearer.user_id() returns text
      language sql stable parallel safe
      return nullif(pg_catalog.current_setting('app.user_id', true), '')`,
  )
  await createUnlessItExists(
    db,
    'trpc_bearer.owner_id(text)',
    sql`
    create function trpc_bearer.owner_id(name text) returns text
      language sql stable parallel safe
      return nullif(pg_catalog.current_setting('app.owner_' operator(pg_catalog.||) name, true), '')`,
  )
}

/**
 * Convert an id to the type of an owner column. An id that is not exactly how PostgreSQL prints the value becomes null, so that two
 * ids never own the same rows. They are in PL/pgSQL: the planner would inline SQL that uses the id twice, and check its signature twice.
 */
async function createConversions(db: AnyKysely): Promise<void> {
  const patterns = {
    integer: `0|${upTo('2147483647')}|-(?:${upTo('2147483648')})`,
    bigint: `0|${upTo('9223372036854775807')}|-(?:${upTo('9223372036854775808')})`,
    uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  }
  for (const [type, pattern] of Object.entries(patterns)) {
    const name = sql.raw(type === 'uuid' ? 'pg_catalog.uuid' : type)
    await sql`
      create or replace function trpc_bearer.as_${sql.raw(type)}(id text) returns ${name}
        language plpgsql immutable parallel safe as $$
        begin
          return case when id operator(pg_catalog.~) ${sql.lit(`^(?:${pattern})$`)} then id::${name} end;
        end $$`.execute(db)
  }
}

/** A regular expression for the whole numbers from 1 to the greatest, without leading zeros. */
function upTo(greatest: string): string {
  const rest = greatest.length - 1
  const sameLength = Array.from(greatest, (digit, index) => {
    const [least, most] = [index === 0 ? 1 : 0, Number(digit) - 1]
    return most < least ? [] : `${greatest.slice(0, index)}[${least}-${most}][0-9]{${rest - index}}`
  })
  return [`[1-9][0-9]{0,${rest - 1}}`, ...sameLength.flat(), greatest].join('|')
}

/** The level `signed` has replaced some functions: those stay. */
async function createUnlessItExists(db: AnyKysely, name: string, create: ReturnType<typeof sql>) {
  const { rows } = await sql<{
    exists: boolean
  }>`select to_regprocedure(${name}) is not null as exists`.execute(db)
  if (!rows[0]?.exists) await create.execute(db)
}

/** The tables that were given to `protectTable` and `shareTable`. The serving login reads them through functions. */
async function createTableLists(db: AnyKysely): Promise<void> {
  await sql`create table if not exists trpc_bearer.shared_table (relation regclass primary key)`.execute(db)
  await sql`
    create table if not exists trpc_bearer.protected_table (
      relation regclass primary key, owner name not null, owned_by text not null, had_row_security boolean not null,
      old_default text
    )`.execute(db)
  await sql`
    create or replace function trpc_bearer.shared_tables() returns setof regclass
      language sql stable security definer set search_path = ''
      begin atomic select relation from trpc_bearer.shared_table; end`.execute(db)
  await sql`
    create or replace function trpc_bearer.protected_tables() returns setof trpc_bearer.protected_table
      language sql stable security definer set search_path = ''
      begin atomic select * from trpc_bearer.protected_table; end`.execute(db)
}

/** An earlier version forced row-level security, which hid the rows from the owner of the tables too. */
async function renewProtection(db: AnyKysely): Promise<void> {
  const { rows } = await sql<{ schema: string; name: string }>`
    select nspname as schema, relname as name
    from pg_catalog.pg_policy join pg_catalog.pg_class c on c.oid = polrelid
    join pg_catalog.pg_namespace n on n.oid = relnamespace
    where polname = 'own_rows' and polpermissive and relforcerowsecurity
      and c.oid not in (select relation from trpc_bearer.protected_table)`.execute(db)
  for (const { schema, name } of rows) {
    await sql`
      alter table ${sql.id(schema, name)} no force row level security, disable row level security`.execute(db)
    await protectTable(db, `${schema}.${name}`)
  }
}

/**
 * Ignores and retries conflicts: roles belong to the cluster and locks to one database, so two migrations can create one role at the
 * same time. The grant to itself is for a login that both migrates and serves: from PostgreSQL 16 on it needs one.
 */
async function createRole(db: Kysely<unknown>, role: string): Promise<void> {
  await sql`
    do $$
    declare
      role_name constant text := ${sql.lit(role)};
      membership constant text := case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
    begin
      begin
        if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
          execute pg_catalog.format('create role %I nologin', role_name);
        end if;
      exception when duplicate_object or unique_violation then null;
      end;
      for attempt in 1..20 loop
        begin
          if not pg_catalog.pg_has_role(current_user, role_name, membership) then
            execute pg_catalog.format('grant %I to current_user', role_name);
          end if;
          exit;
        exception when unique_violation or internal_error then perform pg_catalog.pg_sleep(0.05);
        end;
      end loop;
    end $$`.execute(db)
}
