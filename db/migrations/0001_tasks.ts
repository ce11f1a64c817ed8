import { type Kysely, sql } from 'kysely'
import type { Database } from '../schema.js'
import { protectTable } from '../tables/protect.js'
import { migrationTable } from './migration-table.js'

/**
 * Creates the application role, the identity function that every policy calls, and the table of tasks.
 *
 * @param role name of the role that scoped statements run as
 */
export async function up(db: Kysely<Database>, role: string): Promise<void> {
  await sql`create schema if not exists trpc_bearer`.execute(db)
  await createRole(db, role)
  await sql`
    create or replace function trpc_bearer.application_role() returns name
      language sql immutable parallel safe set search_path = ''
      return ${sql.lit(role)}::name`.execute(db)
  // On a used connection the setting is '' instead of null: without nullif an empty id would match rows.
  // It sets no search path, so that the planner can inline it: every name in it is qualified.
  await sql`
    create or replace function trpc_bearer.user_id() returns text
      language sql stable parallel safe
      return nullif(pg_catalog.current_setting('app.user_id', true), '')`.execute(db)
  // At the level signed it rejects a plan that could run a caller's condition before the policy.
  await sql`
    create or replace function trpc_bearer.policies_first() returns boolean
      language sql immutable parallel safe
      return true`.execute(db)
  // To every role, because the serving login needs it for the audit.
  await sql`grant usage on schema trpc_bearer to public`.execute(db)
  await sql`create table trpc_bearer.shared_table (relation regclass primary key)`.execute(db)
  // The serving login calls these functions, and may not read the tables.
  await sql`
    create function trpc_bearer.shared_tables() returns setof regclass
      language sql stable security definer set search_path = ''
      begin atomic select relation from trpc_bearer.shared_table; end`.execute(db)
  await sql`
    create function trpc_bearer.migrations() returns setof text
      language sql stable security definer set search_path = ''
      begin atomic select name from ${sql.table(migrationTable)}; end`.execute(db)

  await db.schema
    .createTable('tasks')
    .addColumn('user_id', 'text', column => column.notNull())
    .addColumn('id', 'uuid', column => column.notNull())
    .addColumn('title', 'text', column => column.notNull().check(sql`char_length(title) between 1 and 500`))
    .addColumn('notes', 'text', column =>
      column.notNull().defaultTo('').check(sql`char_length(notes) <= 10000`),
    )
    .addColumn('completed', 'boolean', column => column.notNull().defaultTo(false))
    .addColumn('due_at', sql`timestamptz(3)`)
    .addColumn('created_at', sql`timestamptz(3)`, column => column.notNull().defaultTo(sql`now()`))
    .addColumn('updated_at', sql`timestamptz(3)`, column => column.notNull().defaultTo(sql`now()`))
    .addColumn('version', 'integer', column => column.notNull().defaultTo(1))
    .addPrimaryKeyConstraint('tasks_pkey', ['user_id', 'id'])
    .execute()
  await db.schema.createIndex('tasks_by_time').on('tasks').columns(['user_id', 'created_at', 'id']).execute()
  await db.schema
    .createIndex('tasks_by_status')
    .on('tasks')
    .columns(['user_id', 'completed', 'created_at', 'id'])
    .execute()
  await protectTable(db, 'tasks')
}

/** Drops all of it, including the tasks. The role stays, because other databases of the cluster may use it. */
export async function down(db: Kysely<Database>): Promise<void> {
  await db.schema.dropTable('tasks').execute()
  await sql`drop schema trpc_bearer cascade`.execute(db)
}

/**
 * Ignores and retries conflicts: roles belong to the cluster and locks to one database, so two migrations can create one role at the
 * same time. The grant to itself is for a login that both migrates and serves: from PostgreSQL 16 on it needs one.
 */
async function createRole(db: Kysely<Database>, role: string): Promise<void> {
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
