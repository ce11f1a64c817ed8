import { sql } from 'kysely'
import type { AnyKysely } from '../any-kysely.js'

/** Stands for the secret that the identity is signed with; null where it is not. The owner of the schema may ask. */
export async function currentKey(db: AnyKysely): Promise<string | null> {
  const { rows: found } = await sql<{ isSigned: boolean }>`
    select to_regclass('trpc_bearer.fence_key') is not null as "isSigned"`.execute(db)
  if (!found[0]?.isSigned) return null
  const { rows } = await sql<{ key: string }>`
    select md5(fence_key::text) as key from trpc_bearer.fence_key where is_current`.execute(db)
  return rows[0]?.key ?? null
}
