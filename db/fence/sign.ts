import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { notBelieved } from '../errors.js'
import { lockMigrations } from '../migrations/migration-table.js'
import type { AnyKysely } from '../schema.js'
import { requireFenceSecret } from './secret.js'
import { admitLogin } from './serving-login.js'

/** Options of {@link setUpFence}. */
export interface FenceSetup {
  /** The application role. */
  role: string
  /** The login that serves, where it is another than the one that migrates. */
  login?: string | undefined
  /** Makes the level `signed`: 32 characters or more, the same that the server is given. */
  secret?: string | undefined
}

/**
 * Grants the application role to the login that serves, and with a secret makes the level `signed`: `trpc_bearer.user_id()` then
 * believes an id only with its signature, and fails for another, so that SQL that somebody injects cannot become another user. The
 * secret before stays good until the next one is set, so that it can be changed without a refused request. What is done already is
 * left alone. Safe when many processes do it at once.
 *
 * @returns what an administrator must run because this login may not, as SQL; nothing when all is done
 * @throws LoginError where there is no such login
 * @throws TypeError for a secret of less than 32 characters
 */
export async function setUpFence(db: AnyKysely, { role, login, secret }: FenceSetup): Promise<string[]> {
  if (secret !== undefined) requireFenceSecret(secret)
  const left = login === undefined ? [] : await admitLogin(db, role, login)
  if (secret !== undefined) await db.transaction().execute(trx => sign(trx, secret))
  return left
}

async function sign(db: AnyKysely, secret: string): Promise<void> {
  await lockMigrations(db)
  await sql`
    create table if not exists trpc_bearer.fence_key (
      is_current boolean primary key, inner_pad bytea not null, outer_pad bytea not null
    )`.execute(db)
  const { inner, outer } = hmacPads(secret)
  await sql`
    delete from trpc_bearer.fence_key
    where not is_current and exists (select from trpc_bearer.fence_key where is_current and inner_pad <> ${inner})`.execute(
    db,
  )
  await sql`update trpc_bearer.fence_key set is_current = false where inner_pad <> ${inner}`.execute(db)
  await sql`
    insert into trpc_bearer.fence_key values (true, ${inner}, ${outer}) on conflict do nothing`.execute(db)
  await sql`
    create or replace function trpc_bearer.refuse_identity() returns text language plpgsql stable parallel safe as $$
    begin
      raise exception ${sql.lit(`${notBelieved} (FENCE_SECRET is missing or not what the migration was given, or SQL has set another id).`)}
        using errcode = 'invalid_authorization_specification';
    end $$`.execute(db)
  await sql`
    create or replace function trpc_bearer.is_signed_currently() returns boolean
      language sql stable security definer set search_path = pg_catalog, pg_temp as $$
      select is_current from trpc_bearer.fence_key where ${isSigned}
    $$`.execute(db)
  // In PL/pgSQL, which keeps its plans for the session; one expression, as it pays for each anew in every transaction.
  // pg_temp last, or a temporary table of a caller's is the type of its name.
  await sql`
    create or replace function trpc_bearer.user_id() returns text
      language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
    begin
      return case when current_setting('app.user_id', true) <> '' then coalesce((
        select current_setting('app.user_id', true) from trpc_bearer.fence_key where ${isSigned}
      ), trpc_bearer.refuse_identity()) end;
    end $$`.execute(db)
  await putPoliciesFirst(db)
}

/**
 * PostgreSQL evaluates a leakproof condition before a policy if it costs less than ten times `cpu_operator_cost`: none does where that
 * is 0. Being immutable, the function is called while a statement is planned, by the cost that it is planned with.
 */
async function putPoliciesFirst(db: AnyKysely): Promise<void> {
  await sql`
    create or replace function trpc_bearer.policies_first() returns boolean
      language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    begin
      if current_setting('cpu_operator_cost') = '0' then return true; end if;
      raise exception ${sql.lit(`${notBelieved} (FENCE_SECRET is missing, or SQL has set another cpu_operator_cost than 0).`)}
        using errcode = 'invalid_authorization_specification';
    end $$`.execute(db)
}

/** The signature of the identity is by a key of the table: HMAC-SHA-256 with both pads. */
const isSigned = sql.raw(`current_setting('app.user_signature', true) = encode(
  sha256(outer_pad || sha256(inner_pad || convert_to(current_setting('app.user_id', true), 'UTF8'))), 'hex')`)

/** The two blocks of RFC 2104 with the key in them: PostgreSQL's own sha256 does the rest, without an extension. */
function hmacPads(secret: string): { inner: Buffer; outer: Buffer } {
  const key = Buffer.alloc(64)
  const bytes = Buffer.from(secret)
  ;(bytes.length > 64 ? createHash('sha256').update(bytes).digest() : bytes).copy(key)
  return {
    inner: Buffer.from(key.map(byte => byte ^ 0x36)),
    outer: Buffer.from(key.map(byte => byte ^ 0x5c)),
  }
}
