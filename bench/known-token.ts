import { createRemoteJWKSet, jwtVerify } from 'jose'
import { openDatabase } from '../db/index.js'
import { createFetchHandler } from '../server/http/handlers.js'
import { type Context, createContextFactory } from '../server/trpc/context.js'
import {
  createCallerFactory,
  protectedProcedure,
  publicProcedure,
  router,
} from '../server/trpc/procedures.js'
import { createVerifier } from '../server/verifier/index.js'
import { algorithms, makeKey, startIssuer } from '../test/parts/issuer.js'
import { bestOf } from './best-of.js'

/** Prints the cost of a known token over no authentication, and the cost of verifying compared with jose. */
const keys = await Promise.all(algorithms.map(algorithm => makeKey(algorithm)))
await using issuer = await startIssuer({ keys: [...keys] })
const { url } = issuer
const claims = issuer.claims({ exp: Math.floor(Date.now() / 1000) + 3600, email: 'alice@example.com' })
const tokens = new Map(
  await Promise.all(
    algorithms.map(async (algorithm, n) => [algorithm, (await keys[n]?.sign(claims)) ?? ''] as const),
  ),
)
const tokenOf = (algorithm: (typeof algorithms)[number]) => tokens.get(algorithm) ?? ''

// It is never queried, so nothing connects.
const database = await openDatabase({ url: 'postgres://127.0.0.1:1/nothing' })
const verifier = createVerifier({ issuer: url, audience: url })
const uncached = createVerifier({ issuer: url, audience: url, cache: false })
const remote = createRemoteJWKSet(new URL(`${url}/api/auth/jwks`))

const appRouter = router({
  open: publicProcedure.query(() => 'ok'),
  own: protectedProcedure.query(() => 'ok'),
})
const authorization = `Bearer ${tokenOf('EdDSA')}`
const createContext = createContextFactory({ verifier, database })
const createCaller = createCallerFactory(appRouter)
const req = { headersDistinct: { authorization: [authorization] } }
const nobody: Context = { user: null }
const handle = createFetchHandler({ verifier, database, router: appRouter })
const ask = (procedure: string, headers: Record<string, string> = {}) =>
  handle(new Request(`http://api/trpc/${procedure}`, { headers })).then(answer => answer.text())

// The keys are fetched first, because the runs below leave the event loop no time.
await Promise.all([verifier.ready(), uncached.ready(), remote.reload()])
const calls = await bestOf(
  {
    'procedure, no authentication': () => createCaller(nobody).open(),
    'procedure, known token': async () => createCaller(await createContext({ req, requestId: '' })).own(),
    'endpoint, no token': () => ask('open'),
    'endpoint, known token': () => ask('own', { authorization }),
  },
  { rounds: 1_500, calls: 20 },
)

const verdicts: Record<string, { known: number; unknown: number; jose: number }> = {}
for (const algorithm of algorithms) {
  const token = tokenOf(algorithm)
  verdicts[algorithm] = await bestOf(
    {
      known: () => verifier.verify(token),
      unknown: () => uncached.verify(token),
      jose: () => jwtVerify(token, remote, { issuer: url, audience: url }),
    },
    { rounds: 300, calls: 10 },
  )
}
await database.close()

const over = (name: keyof typeof calls, base: keyof typeof calls) => (calls[name] - calls[base]).toFixed(1)
const rounded = <Name extends string>(times: Record<Name, number>) =>
  Object.fromEntries(Object.entries<number>(times).map(([name, us]) => [name, Number(us.toFixed(1))]))
console.table(Object.entries(rounded(calls)).map(([call, us]) => ({ call, us })))
console.table({
  'known token over no authentication, procedure': over(
    'procedure, known token',
    'procedure, no authentication',
  ),
  'known token over no token, endpoint': over('endpoint, known token', 'endpoint, no token'),
})
console.table(
  Object.fromEntries(Object.entries(verdicts).map(([algorithm, times]) => [algorithm, rounded(times)])),
)
