import { setTimeout as sleep } from 'node:timers/promises'
import { initTRPC } from '@trpc/server'
import { observable } from '@trpc/server/observable'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type Context,
  createContextFactory,
  createVerifier,
  reasonOf,
  requireUser,
} from '../../../server/index.js'
import { transformer } from '../../../shared/index.js'
import { seconds } from '../../parts/clock.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
const isRevoked = vi.fn(() => false)
const verifier = createVerifier({
  issuer,
  audience: issuer,
  keys: [key.jwk],
  isRevoked,
  // Read at each use, because the tests replace it.
  now: () => Date.now(),
})
const createContext = createContextFactory({ verifier, onRefusal() {} })
const signal = new AbortController().signal
const bare = new Request('http://localhost')
const tokenOf = (sub: string, life = 60) => key.sign(claimsFrom(issuer, { sub, exp: seconds() + life }))

afterEach(() => {
  vi.useRealTimers()
  isRevoked.mockReturnValue(false)
})

describe('connectionParams', () => {
  const userWith = async (connectionParams: Record<string, string> | null, req = bare) => {
    const { user } = await createContext({ req, info: { signal, connectionParams } })
    return user?.id ?? null
  }

  test('hold the token if the header is missing, as token or as authorization', async () => {
    const token = await tokenOf('alice')
    expect(await userWith({ token })).toBe('alice')
    expect(await userWith({ authorization: `Bearer ${token}` })).toBe('alice')
    expect(await userWith({ authorization: token })).toBeNull()
    expect(await userWith({})).toBeNull()
    expect(await userWith(null)).toBeNull()
  })

  test.each([
    ['query', null],
    ['mutation', null],
    ['subscription', 'alice'],
    ['unknown', 'alice'],
  ])('of a %s over HTTP, where they are in the URL, give %j', async (type, user) => {
    const connectionParams = { token: await tokenOf('alice') }
    const context = await createContext({ req: bare, info: { signal, connectionParams, type } })
    expect(context.user?.id ?? null).toBe(user)
  })

  test('do not replace a token of the header', async () => {
    const token = await tokenOf('alice')
    const bob = new Request(bare, { headers: { authorization: `Bearer ${await tokenOf('bob')}` } })
    expect(await userWith({ token }, bob)).toBe('bob')
    const wrong = new Request(bare, { headers: { authorization: 'Bearer milk' } })
    expect(await userWith({ token }, wrong)).toBeNull()
  })
})

describe('a stream ends with UNAUTHORIZED', () => {
  const t = initTRPC.context<Context>().create({ transformer })
  const guarded = t.procedure.concat(requireUser())
  const closed = vi.fn()
  async function* ticks() {
    try {
      for (let n = 0; ; n++) {
        yield n
        await new Promise(done => setTimeout(done, 500))
      }
    } finally {
      closed()
    }
  }
  const router = t.router({
    subscription: guarded.subscription(ticks),
    stream: guarded.query(ticks),
    observable: guarded.subscription(() =>
      observable<number>(observer => {
        const timer = setInterval(() => observer.next(1), 500)
        return () => {
          clearInterval(timer)
          closed()
        }
      }),
    ),
    value: guarded.query(() => 'once'),
  })

  /** In steps, because a signature is verified in real time. */
  async function advance(milliseconds: number) {
    for (let passed = 0; passed < milliseconds; passed += 500) {
      await vi.advanceTimersByTimeAsync(500)
      await sleep(4)
    }
  }

  /** Reads until the stream ends. */
  async function outcomeOf(name: 'subscription' | 'stream' | 'observable', life: number) {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    closed.mockClear()
    const token = await tokenOf('alice', life)
    const context = await createContext({ req: bare, info: { signal, connectionParams: { token } } })
    const stream = await t.createCallerFactory(router)(context)[name]()
    const started = Date.now()
    const read = (async () => {
      let values = 0
      for await (const _ of stream as AsyncIterable<number>) values++
      return values
    })().catch((error: unknown) => ({ reason: reasonOf(error), after: (Date.now() - started) / 1_000 }))
    return { read }
  }

  test.each(['subscription', 'stream', 'observable'] as const)('when its token expires: %s', async name => {
    const { read } = await outcomeOf(name, 20)
    await advance(30_000)
    expect(await read).toEqual({ reason: 'expired', after: expect.closeTo(25, -0.5) })
    await advance(1_000)
    expect(closed).toHaveBeenCalledOnce()
  })

  test('when its token is revoked', async () => {
    const { read } = await outcomeOf('subscription', 900)
    await advance(20_000)
    isRevoked.mockReturnValue(true)
    await advance(15_000)
    expect(await read).toEqual({ reason: 'revoked', after: expect.closeTo(31, -0.5) })
  })

  test('and no timer stays after the client has left, or after a call without a stream', async () => {
    await outcomeOf('subscription', 900)
    const token = await tokenOf('alice')
    const context = await createContext({ req: bare, info: { signal, connectionParams: { token } } })
    const caller = t.createCallerFactory(router)(context)
    const before = vi.getTimerCount()
    expect(await caller.value()).toBe('once')
    for await (const _ of (await caller.subscription()) as AsyncIterable<number>) break
    await advance(500)
    expect(vi.getTimerCount()).toBe(before)
  })
})
