import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

/** Minimum length of `FENCE_SECRET`, in characters. A shorter secret could be guessed from one known signature. */
export const minFenceSecret = 32

/** @throws TypeError if the secret is too short */
export function requireFenceSecret(secret: string): void {
  if (secret.length < minFenceSecret)
    throw new TypeError(
      `The fence secret must have at least ${minFenceSecret} characters. Create one with: openssl rand -hex 32`,
    )
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
