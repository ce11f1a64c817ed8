import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Pool } from 'pg'
import type { OpenDatabase } from 'trpc-bearer/db'
import type { User } from 'trpc-bearer/shared'

/** Makes `asUser`, which runs a transaction of Drizzle for a user. There is no handle on which a statement runs for nobody. */
export function createAsUser(database: OpenDatabase, pool: Pool) {
  // Without listeners a connection that breaks would end the process. The next statement reports it.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))

  return async function asUser<T>(user: User, work: (tx: NodePgDatabase) => Promise<T>): Promise<T> {
    const client = await pool.connect()
    try {
      return await drizzle(client).transaction(async tx => {
        const { text, values } = database.identityStatement(user)
        await client.query(text, values) // on the connection of tx, and before its first statement
        return work(tx)
      })
    } finally {
      client.release()
    }
  }
}

export type AsUser = ReturnType<typeof createAsUser>
