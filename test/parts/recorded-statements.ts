import { type CompiledQuery, type KyselyPlugin, PostgresQueryCompiler } from 'kysely'
import type { OpenDatabase } from '../../db/index.js'
import { appRouter, createCallerFactory, createContextFactory } from '../../server/index.js'

const createCaller = createCallerFactory(appRouter)

/** Calls every procedure in this process. */
export type Caller = ReturnType<typeof createCaller>

/** The statements that a call of a user sends. Their changes are rolled back. */
export async function recordStatements(
  { forUser }: Pick<OpenDatabase, 'forUser'>,
  userId: string,
  call: (caller: Caller) => Promise<unknown>,
): Promise<CompiledQuery[]> {
  const sent: CompiledQuery[] = []
  const compiler = new PostgresQueryCompiler()
  const recorder: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      sent.push(compiler.compileQuery(node, queryId))
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const trx = await forUser(userId).startTransaction().execute()
  const createContext = createContextFactory({
    verifier: { verify: async id => ({ id }) },
    database: { forUser: () => trx.withPlugin(recorder) },
  })
  try {
    const req = new Request('http://localhost', { headers: { authorization: `Bearer ${userId}` } })
    await call(createCaller(await createContext({ req })))
  } finally {
    await trx.rollback().execute()
  }
  return sent
}
