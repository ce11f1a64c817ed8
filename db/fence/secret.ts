import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

/** Shortest secret that signs the identity, in characters: whoever is shown a signature could try all that are much shorter. */
export const minFenceSecret = 32

/** @throws TypeError for a secret that is too short */
export function requireFenceSecret(secret: string): void {
  if (secret.length < minFenceSecret)
    throw new TypeError(
      `The fence's secret must have ${minFenceSecret} characters or more: openssl rand -hex 32 makes one.`,
    )
}

/** Stands for the secret that the identity is signed with; null where it is not. The owner of the schema may ask. */
export async function currentKey(db: AnyKysely): Promise<string | null> {
  const { rows: found } = await sql<{ isSigned: boolean }>`
    select to_regclass('trpc_bearer.fence_key') is not null as "isSigned"`.execute(db)
  if (!found[0]?.isSigned) return null
  const { rows } = await sql<{ key: string }>`
    select md5(fence_key::text) as key from trpc_bearer.fence_key where is_current`.execute(db)
  return rows[0]?.key ?? null
}
