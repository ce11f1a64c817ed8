import { createServer } from 'node:http'
import type { AnyTRPCRouter } from '@trpc/server'
import { inject } from 'vitest'
import { openDatabase } from '../../db/index.js'
import { createNodeHandler, createVerifier, TokenError } from '../../server/index.js'
import { seconds } from './clock.js'
import { claimsFrom, makeKey } from './issuer.js'
import { listen } from './listen.js'

const issuer = 'https://issuer.example.com'

/** An API whose tokens the test signs, and which records every request. */
export async function startTokenApi(router?: AnyTRPCRouter) {
  const [known, unknown] = await Promise.all([makeKey('ES256', 'known'), makeKey('ES256', 'unknown')])
  const verifier = createVerifier({ issuer, audience: issuer, keys: [known.jwk] })
  const revoked = new Set<string>()
  const keys = { areAway: false }
  const requests: { url: string; token: string | undefined }[] = []
  // No procedure here uses the database, so the pool never connects.
  const database = await openDatabase({ url: inject('postgresUrl') })
  const handler = createNodeHandler({
    verifier: {
      async verify(token) {
        if (keys.areAway) throw new TokenError('keys_unavailable', { retryAfter: 1 })
        if (revoked.has(token)) throw new TokenError('revoked')
        return verifier.verify(token)
      },
    },
    database,
    router,
    // The tests make outages. Anything else that fails is unexpected, so it is printed.
    onError({ error }) {
      if (error.code === 'INTERNAL_SERVER_ERROR') console.error(error.cause)
    },
  })
  const server = createServer((req, res) => {
    requests.push({ url: req.url ?? '', token: req.headers.authorization?.replace('Bearer ', '') })
    handler(req, res)
  })
  const host = await listen(server)

  /** Signs a token that no other equals. `life` is in seconds, and so is how far the clock of the issuer is `ahead`. */
  const mint = ({
    sub = 'alice',
    life = 900,
    kid = 'known',
    ahead = 0,
  }: {
    sub?: string
    life?: number
    ahead?: number
    kid?: string
  }) =>
    (kid === 'known' ? known : unknown).sign(
      claimsFrom(issuer, {
        jti: crypto.randomUUID(),
        sub,
        iat: seconds() + ahead,
        exp: seconds() + ahead + life,
      }),
      { kid },
    )
  return {
    url: `${host.url}/trpc`,
    /** Path with query, and token, of every request. */
    requests,
    /** Tokens that the API refuses as revoked. */
    revoked,
    /** `areAway`: no token can be verified. */
    keys,
    mint,
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]()
      await database.close()
    },
  }
}

/** A `getToken` that returns these answers in order and then repeats the last one, with statistics of its calls. */
export function tokensOf(...answers: (() => Promise<string | null>)[]) {
  const calls = { count: 0, most: 0, underWay: 0 }
  const last = answers.at(-1)
  async function getToken(): Promise<string | null> {
    const answer = answers[calls.count++] ?? last
    calls.most = Math.max(calls.most, ++calls.underWay)
    try {
      // Gives concurrent calls the time to overlap.
      await new Promise(done => setTimeout(done, 5))
      return answer === undefined ? null : await answer()
    } finally {
      calls.underWay--
    }
  }
  return { calls, getToken }
}

/** A promise that the test settles. */
export function later<T>() {
  let settle: (value: T) => void = () => {}
  const promise = new Promise<T>(done => {
    settle = done
  })
  return { promise, settle }
}
