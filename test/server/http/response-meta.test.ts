import { initTRPC, TRPCError } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import {
  type Context,
  createContextFactory,
  createVerifier,
  requireScope,
  requireUser,
  responseMeta,
  type Verifier,
} from '../../../server/index.js'
import { seconds as now } from '../../parts/clock.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { listen, startWeb } from '../../parts/listen.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
const options = { issuer, audience: issuer, onProblem() {} }
const verifier = createVerifier({ ...options, keys: [key.jwk] })

/** A foreign `t`. */
const t = initTRPC.context<Context>().create()
const guarded = t.procedure.concat(requireUser())
const router = t.router({
  open: t.procedure.query(() => 'open'),
  me: guarded.query(({ ctx }) => ctx.user.id),
  edit: guarded.concat(requireScope('notes:write')).query(() => 'edited'),
  sunday: guarded.query(() => {
    throw new TRPCError({ code: 'FORBIDDEN', message: 'Not on Sundays.' })
  }),
  door: t.procedure.query(() => {
    throw new TRPCError({ code: 'UNAUTHORIZED' })
  }),
})

let database: OpenDatabase
beforeAll(async () => {
  // The pool connects on demand, so nothing connects here.
  database = await openDatabase({ url: inject('postgresUrl') })
})
afterAll(() => database.close())

async function ask(path: string, token: string | null, by: Verifier = verifier) {
  const createContext = createContextFactory({ verifier: by, database })
  await using host = await listen(createHTTPServer({ router, createContext, responseMeta }))
  const init = token === null ? {} : { headers: { authorization: `Bearer ${token}` } }
  const response = await fetch(`${host.url}/${path}`, init)
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    retryAfter: response.headers.get('retry-after'),
  }
}

const sign = (claims = {}) => key.sign(claimsFrom(issuer, claims))
const expired = 'Bearer error="invalid_token", error_description="The token has expired."'
const lacking =
  'Bearer error="insufficient_scope", error_description="This needs a scope or role that the caller does not have.", scope="notes:write"'

test.each<
  [what: string, path: string, token: () => Promise<string> | null, status: number, challenge: string | null]
>([
  ['a caller without a token', 'me', () => null, 401, 'Bearer'],
  ['a token that has expired', 'me', () => sign({ exp: now() - 60 }), 401, expired],
  ['a token that lacks a scope', 'edit', () => sign({ scope: 'notes:read' }), 403, lacking],
  ['a batch of which one call is refused', 'open,me?batch=1', () => null, 207, 'Bearer'],
  ['a refusal of the application', 'door', () => null, 401, 'Bearer'],
  ['a prohibition of the application', 'sunday', () => sign(), 403, null],
  ['an expired token where all may call', 'open', () => sign({ exp: now() - 60 }), 200, null],
  ['a token that holds', 'edit', () => sign({ scope: 'notes:write' }), 200, null],
])(
  "with tRPC's own adapter, the answer to %s has its challenge",
  async (_, path, token, status, challenge) => {
    expect(await ask(path, await token())).toEqual({ status, challenge, retryAfter: null })
  },
)

test("with tRPC's own adapter, an outage has Retry-After", async () => {
  await using web = await startWeb((_, res) => res.writeHead(503, { 'retry-after': '42' }).end())
  const away = createVerifier({ ...options, jwksUrl: web.url })
  expect(await ask('me', await sign(), away)).toEqual({ status: 503, challenge: null, retryAfter: '42' })
})
