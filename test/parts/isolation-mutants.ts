import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import type { Database, OpenDatabase } from '../../db/index.js'

type Handles = Pick<OpenDatabase, 'admin' | 'forUser'>

/** Removes a part of the isolation, to prove that the tests notice. */
export type IsolationMutant = (database: OpenDatabase & { url: string | null }) => Promise<Handles>

/** A handle that sets the identity when a connection is reserved, as people often write it. */
function byHand(url: string, identity: (userId: string) => string[]): OpenDatabase['forUser'] {
  const pool = new pg.Pool({ connectionString: url, max: 3 })
  pool.on('error', () => {})
  return user =>
    new Kysely<Database>({
      dialect: new PostgresDialect({
        pool: { connect: () => pool.connect(), end: async () => {}, options: pool.options },
        onReserveConnection: async connection => {
          for (const text of identity(typeof user === 'string' ? user : user.id))
            await connection.executeQuery(CompiledQuery.raw(text))
        },
      }),
    })
}

export const isolationMutants: readonly (readonly [name: string, breach: IsolationMutant])[] = [
  [
    'the policy were open',
    async database => {
      // After the first check of the fence, which would find it too.
      await database.fence()
      for (const policy of ['own_rows', 'own_rows_first'])
        await sql`drop policy ${sql.id(policy)} on tasks`.execute(database.admin)
      await sql`create policy own_rows on tasks using (true) with check (true)`.execute(database.admin)
      return database
    },
  ],
  [
    'the role were not switched',
    async ({ admin: db, url }) => ({
      admin: db,
      forUser: byHand(url ?? '', userId => [`select set_config('app.user_id', '${userId}', false)`]),
    }),
  ],
  [
    'the identity were set for the session, once',
    async ({ admin: db, url }) => {
      const pool = new pg.Pool({ connectionString: url ?? '', max: 3 })
      pool.on('error', () => {})
      pool.on('connect', client => void client.query('set role app_user').catch(() => {}))
      return {
        admin: db,
        forUser: userId =>
          new Kysely<Database>({
            dialect: new PostgresDialect({
              pool: {
                async connect() {
                  const client = await pool.connect()
                  await client.query(
                    `select set_config('app.user_id', coalesce(nullif(current_setting('app.user_id', true), ''), '${userId}'), false)`,
                  )
                  return client
                },
                end: async () => {},
                options: pool.options,
              },
            }),
          }),
      }
    },
  ],
]
