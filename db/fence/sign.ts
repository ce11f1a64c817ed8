import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { identityRejected } from '../errors.js'
import { lockMigrations } from '../migrations/migration-table.js'
import type { AnyKysely } from '../schema.js'
import { requireFenceSecret } from './secret.js'
import { grantRoleToLogin } from './serving-login.js'

/** Options of {@link setUpFence}. */
export interface FenceSetup {
  /** The application role. */
  role: string
  /** The serving login, if it is not the login that migrates. */
  login?: string | undefined
  /** Makes the level `signed`: at least 32 characters, the same as `fenceSecret` of the server. */
  secret?: string | undefined
}

/**
 * Grants the application role to the serving login. With a secret it also makes the level `signed`: the database then accepts a
 * user's id only with its signature, so injected SQL cannot become another user. The previous secret works until the next change,
 * so no request fails while the servers get the new one. Idempotent, and safe if many processes call it at once.
 *
 * @returns SQL that an administrator must run because this login may not; empty if nothing is missing
 * @throws LoginError if the login does not exist
 * @throws TypeError if the secret has fewer than 32 characters
 */
export async function setUpFence(db: AnyKysely, { role, login, secret }: FenceSetup): Promise<string[]> {
  if (secret !== undefined) requireFenceSecret(secret)
  const missing = login === undefined ? [] : await grantRoleToLogin(db, role, login)
  if (secret !== undefined) await db.transaction().execute(trx => requireSignatures(trx, secret))
  return missing
}

async function requireSignatures(db: AnyKysely, secret: string): Promise<void> {
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
      raise exception ${sql.lit(`${identityRejected} (FENCE_SECRET is missing or differs from the secret of the migration, or SQL set another id).`)}
        using errcode = 'invalid_authorization_specification';
    end $$`.execute(db)
  await sql`
    create or replace function trpc_bearer.is_signed_currently() returns boolean
      language sql stable security definer set search_path = pg_catalog, pg_temp as $$
      select is_current from trpc_bearer.fence_key where ${isUserSigned}
    $$`.execute(db)
  // PL/pgSQL keeps its plans for the session, and one expression costs the least per transaction.
  // pg_temp is last, so that a caller's temporary table cannot replace a type.
  await sql`
    create or replace function trpc_bearer.user_id() returns text
      language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
    begin
      return case when current_setting('app.user_id', true) <> '' then coalesce((
        select current_setting('app.user_id', true) from trpc_bearer.fence_key where ${isUserSigned}
      ), trpc_bearer.refuse_identity()) end;
    end $$`.execute(db)
  await sql`
    create or replace function trpc_bearer.owner_id(name text) returns text
      language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
    begin
      return case when current_setting('app.owner_' || name, true) <> '' then coalesce((
        select current_setting('app.owner_' || name, true) from trpc_bearer.fence_key where ${isOwnerSigned}
      ), trpc_bearer.refuse_identity()) end;
    end $$`.execute(db)
  await putPoliciesFirst(db)
}

/**
 * PostgreSQL runs a leakproof condition before a policy if it costs less than ten times `cpu_operator_cost`. The function requires 0,
 * and because it is immutable it runs at plan time, with the setting that the plan uses.
 */
async function putPoliciesFirst(db: AnyKysely): Promise<void> {
  await sql`
    create or replace function trpc_bearer.policies_first() returns boolean
      language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    begin
      if current_setting('cpu_operator_cost') = '0' then return true; end if;
      raise exception ${sql.lit(`${identityRejected} (FENCE_SECRET is missing, or SQL set cpu_operator_cost).`)}
        using errcode = 'invalid_authorization_specification';
    end $$`.execute(db)
}

/** True if a key of the table made the signature: HMAC-SHA-256 (RFC 2104) from both pads. */
const isSigned = (setting: string, message: string) =>
  sql.raw(`current_setting(${setting}, true) = encode(
  sha256(outer_pad || sha256(inner_pad || convert_to(${message}, 'UTF8'))), 'hex')`)

// chr(10) instead of a backslash: PL/pgSQL would parse that under the settings of a caller.
const isUserSigned = isSigned(
  `'app.user_signature'`,
  `'user' || chr(10) || current_setting('app.user_id', true)`,
)
/** In this hour, the one before or the next, because the clock of the API may differ. A removed member loses access after two hours at most. */
const isOwnerSigned = sql.join(
  [0, -1, 1].map(hours =>
    isSigned(
      `'app.owner_' || name || '_signature'`,
      `concat_ws(chr(10), name, floor(extract(epoch from now()) / 3600)::int + ${hours}, octet_length(current_setting('app.user_id', true)),
        current_setting('app.user_id', true), current_setting('app.owner_' || name, true))`,
    ),
  ),
  sql` or `,
)

/** The inner and outer pad of RFC 2104. With them PostgreSQL's sha256 is enough, without an extension. */
function hmacPads(secret: string): { inner: Buffer; outer: Buffer } {
  const key = Buffer.alloc(64)
  const bytes = Buffer.from(secret)
  ;(bytes.length > 64 ? createHash('sha256').update(bytes).digest() : bytes).copy(key)
  return {
    inner: Buffer.from(key.map(byte => byte ^ 0x36)),
    outer: Buffer.from(key.map(byte => byte ^ 0x5c)),
  }
}

/** Fingerprint of the current signing key, or null if the database has none. Only the owner of the schema may ask. */
export async function findKeyFingerprint(db: AnyKysely): Promise<string | null> {
  const { rows: found } = await sql<{ exists: boolean }>`
    select to_regclass('trpc_bearer.fence_key') is not null as exists`.execute(db)
  if (!found[0]?.exists) return null
  const { rows } = await sql<{ key: string }>`
    select md5(fence_key::text) as key from trpc_bearer.fence_key where is_current`.execute(db)
  return rows[0]?.key ?? null
}
