import { EventEmitter, on } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { observable } from '@trpc/server/observable'
import { afterEach, expect, inject, test } from 'vitest'
import { z } from 'zod'
import { openDatabase } from '../../../db/index.js'
import { createFetchHandler, createVerifier, protectedProcedure, router } from '../../../server/index.js'
import { seconds } from '../../parts/clock.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'

const issuer = 'https://auth.example.com'
const bus = new EventEmitter()
const live = router({
  // As tRPC's documentation shows it.
  quiet: protectedProcedure.subscription(async function* ({ signal }) {
    for await (const event of on(bus, 'event', { signal: signal as AbortSignal })) yield event
  }),
  observed: protectedProcedure.input(z.any()).subscription(() =>
    observable<string>(observer => {
      bus.on('event', observer.next)
      return () => bus.off('event', observer.next)
    }),
  ),
})

/** A handler, and a token that is good for so many more seconds. */
async function start(life = 1) {
  const key = await makeKey()
  const verifier = createVerifier({ issuer, audience: issuer, keys: [key.jwk] })
  const database = await openDatabase({ url: inject('postgresUrl') })
  const token = await key.sign(
    claimsFrom(issuer, { sub: 'lea', iat: seconds() - 10, exp: seconds() - 5 + life }),
  )
  const handler = createFetchHandler({ verifier, database, router: live, onError() {} })
  const call = (path: string, init: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${token}`, ...init.headers }
    return handler(new Request(`http://localhost/trpc/${path}`, { ...init, headers }))
  }
  return { call, [Symbol.asyncDispose]: database.close }
}

afterEach(() => void bus.removeAllListeners())

test('a procedure that waits for its next value ends when the token of its caller has expired', async () => {
  await using api = await start()
  const response = await api.call('quiet', { headers: { accept: 'text/event-stream' } })
  const reading = response.text().catch(() => 'the connection was closed')
  await expect.poll(() => bus.listenerCount('event')).toBe(1)
  expect(await reading).toContain('UNAUTHORIZED')
  await expect.poll(() => bus.listenerCount('event'), { timeout: 5_000 }).toBe(0)
})

test('an observable that tRPC does not read is not subscribed to', async () => {
  await using api = await start(60)
  const response = await api.call('observed', {
    method: 'POST',
    body: 'x',
    headers: { 'content-type': 'application/octet-stream' },
  })
  expect(response.status).toBe(415)
  await sleep(100)
  expect(bus.listenerCount('event')).toBe(0)
})
