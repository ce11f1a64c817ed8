import { expect, vi } from 'vitest'
import { makeKey } from '../../parts/issuer.js'
import { type Answer, type Cases, casesOf, startScenario } from './issuer-scenario.js'

const hour = 3_600
const day = 24 * hour
const away: Answer = response => response.destroy()

export const rotations: Cases = {
  'a new key counts at once, the one before it for a minute after it left, with what it has proven':
    async make => {
      await using scene = await startScenario(make, { cache: { maxAge: day } })
      const { state, asked, outcome, sign } = scene
      const [old, fresh] = await Promise.all([makeKey(), makeKey()])
      const [known, unseen] = [await sign(old), await sign(old, { cty: 'unseen' })]
      state.keys.push(old.jwk)
      expect(await outcome(known)).toBe('accepted')
      await scene.pass(100)
      state.keys.push(fresh.jwk)
      expect(await outcome(await sign(fresh))).toBe('accepted')
      state.keys.splice(1, 1)
      await scene.pass(340)
      expect(asked).toEqual([0, 100, 340])
      for (state.at of [341, 399]) expect(await outcome(known)).toBe('accepted')
      expect(await outcome(await sign(old, { cty: 'last' }))).toBe('accepted')
      state.at = 400
      for (const token of [known, unseen]) expect(await outcome(token)).toBe('unknown_key')
      expect(await outcome(await sign(fresh))).toBe('accepted')
      await scene.call()
      scene.expectAllServed()
    },
  'a key that was replaced under its kid counts for a minute more, and no longer': async make => {
    await using scene = await startScenario(make, { cache: { maxAge: day } })
    const { state, outcome, sign } = scene
    const old = await makeKey()
    const fresh = await makeKey('EdDSA', old.kid)
    const known = await sign(old)
    state.keys.push(old.jwk)
    expect(await outcome(known)).toBe('accepted')
    state.keys.splice(1, 1, fresh.jwk)
    await scene.pass(31)
    expect(await outcome(await sign(fresh))).toBe('accepted')
    for (state.at of [32, 90]) expect(await outcome(known)).toBe('accepted')
    state.at = 91
    expect(await outcome(known)).toBe('signature')
    await scene.call()
    scene.expectAllServed()
  },
  'a key that comes back within its last minute stays': async make => {
    await using scene = await startScenario(make)
    const { state, outcome, sign } = scene
    const [swung, another] = await Promise.all([makeKey(), makeKey()])
    state.keys.push(swung.jwk)
    expect(await outcome(await sign(swung))).toBe('accepted')
    state.keys = [scene.key.jwk]
    expect(await outcome(scene.invented())).toBe('unknown_key')
    await scene.pass(50)
    state.keys.push(swung.jwk, another.jwk)
    expect(await outcome(await sign(another))).toBe('accepted')
    await scene.pass(hour)
    expect(await outcome(await sign(swung))).toBe('accepted')
    scene.expectAllServed()
  },
}

interface HeldAnswer {
  answer(): void
  fail(): void
}

/** How the first fetch ends after a second one has started. */
const endings: Record<string, (first: HeldAnswer) => void> = {
  fails: first => first.fail(),
  'answers after all': first => first.answer(),
}

export const suspended: Cases = casesOf(
  endings,
  ends => async make => {
    await using scene = await startScenario(make)
    const fresh = await makeKey()
    const [token, another] = [await scene.sign(fresh), await scene.sign(fresh, { cty: 'another' })]
    await scene.call()
    scene.state.keys.push(fresh.jwk)
    const held: HeldAnswer[] = []
    scene.state.answer = (response, keys) =>
      held.push({ answer: () => response.end(keys), fail: () => response.destroy() })
    const outcome = scene.outcome(token)
    const first = await vi.waitUntil(() => held[0])
    // The machine was suspended: the next caller takes the fetch for lost.
    scene.state.at = 60
    const other = scene.outcome(another)
    const second = await vi.waitUntil(() => held[1])
    ends(first)
    await scene.call()
    second.answer()
    expect(await Promise.all([outcome, other])).toEqual(['accepted', 'accepted'])
    scene.expectAllServed()
  },
  row => `a fetch that seemed lost and ${row} is no verdict on a new key: the one after it is`,
)

export const outages: Cases = {
  'an issuer that is stopped for 23 hours costs nobody with a known key anything': async make => {
    await using scene = await startScenario(make)
    const { state, outcome, sign } = scene
    const fresh = await makeKey()
    const token = await sign(fresh)
    const forged = await sign({ ...fresh, kid: scene.key.kid }, { kid: scene.key.kid })
    await scene.call()
    await scene.stop()
    for (let at = hour; at <= 23 * hour; at += hour) {
      await scene.pass(at, process.env.LONG_TESTS ? 300 : 1_800)
      expect(await outcome(token)).toBe('keys_unavailable')
      // A bad signature is the caller's fault, also during an outage.
      expect(await outcome(forged)).toBe('signature')
    }
    expect(scene.verifier.status()).toEqual({ keys: 1, age: 23 * hour, lastError: 'unreachable' })
    expect(scene.problems).toHaveLength(1)
    state.keys.push(fresh.jwk)
    await scene.startAgain()
    await scene.pass(state.at + 60)
    expect(await outcome(token)).toBe('accepted')
    scene.expectAllServed()
  },
  'a caller with a known key waits for no refresh after a silence, and its key counts a minute more where it has left':
    async make => {
      await using scene = await startScenario(make, { cache: { maxAge: day } })
      const { state, outcome } = scene
      const old = await makeKey()
      const [known, unseen] = [await scene.sign(old), await scene.sign(old, { cty: 'unseen' })]
      state.keys.push(old.jwk)
      expect(await outcome(known)).toBe('accepted')
      const held: (() => void)[] = []
      state.answer = (response, keys) => held.push(() => response.end(keys))
      state.at = 8 * hour
      state.keys.splice(1, 1)
      const outcomes = Promise.all([known, unseen].map(outcome))
      const answer = await vi.waitUntil(() => held[0])
      // The issuer answers only after both were served.
      expect(await Promise.race([outcomes, scene.settle()])).toEqual(['accepted', 'accepted'])
      answer()
      await scene.settle()
      state.answer = scene.answerWell
      for (state.at of [8 * hour, 8 * hour + 59]) expect(await outcome(known)).toBe('accepted')
      state.at = 8 * hour + 60
      for (const token of [known, unseen]) expect(await outcome(token)).toBe('unknown_key')
    },
  'an issuer that has no key yet is an outage, and asked for each new token': async make => {
    await using scene = await startScenario(make)
    const token = await scene.sign(scene.key)
    const keys = scene.state.keys.splice(0)
    for (let n = 0; n < 3; n++) expect(await scene.outcome(token)).toBe('keys_unavailable')
    await expect(scene.verifier.ready()).rejects.toMatchObject({ reason: 'keys_unavailable' })
    scene.state.keys.push(...keys)
    expect(await scene.outcome(token)).toBe('accepted')
  },
  'after a day without the issuer its keys are unavailable, until it is back': async make => {
    await using scene = await startScenario(make)
    const token = await scene.sign(scene.key)
    await scene.call()
    await scene.stop()
    await scene.pass(day, 1_800)
    scene.state.at = day + 1
    expect(await scene.outcome(token)).toBe('keys_unavailable')
    await scene.startAgain()
    await scene.pass(day + 61)
    expect(await scene.outcome(token)).toBe('accepted')
    scene.expectAllServed()
  },
  'an issuer that fails for an hour is asked after 1 s, then 2, 4 and so on, and each minute in the end':
    async make => {
      await using scene = await startScenario(make)
      await scene.call()
      scene.state.answer = away
      await scene.pass(239, 239)
      await scene.pass(400, 1)
      await scene.pass(240 + hour, 5)
      const [, ...times] = scene.asked
      expect(times[0]).toBe(240)
      times.slice(1).forEach((at, i) => {
        const longest = Math.min(60, 2 ** i)
        const gap = at - (times[i] ?? 0)
        expect(gap).toBeGreaterThanOrEqual(Math.max(1, longest / 2))
        expect(gap).toBeLessThanOrEqual(longest + 5)
      })
      expect(times.length).toBeGreaterThan(60)
      expect(times.length).toBeLessThan(130)
      scene.expectAllServed()
    },
  'an issuer that never answered is asked as seldom, however many ask for keys': async make => {
    await using scene = await startScenario(make)
    scene.state.answer = away
    for (scene.state.at = 0; scene.state.at < 300; scene.state.at++) {
      const tokens = Array.from({ length: 10 }, scene.invented)
      const outcomes = await Promise.all(tokens.map(scene.outcome))
      expect(new Set(outcomes)).toEqual(new Set(['keys_unavailable']))
    }
    expect(scene.asked.length).toBeLessThanOrEqual(14)
    expect(scene.problems).toHaveLength(1)
    scene.state.answer = scene.answerWell
    scene.state.at += 60
    await scene.call()
    scene.expectAllServed()
  },
}

type Asks = (dateIn: (seconds: number) => string) => Record<string, string>

/** What a 429 asks for, and how many seconds pass until the next fetch. */
const asks: Record<string, [headers: Asks, seconds: number]> = {
  nothing: [() => ({}), 1],
  seconds: [() => ({ 'retry-after': '120' }), 120],
  'a date': [dateIn => ({ 'retry-after': dateIn(90) }), 90],
  'a date that is over': [dateIn => ({ 'retry-after': dateIn(-90) }), 1],
  'what is no time': [() => ({ 'retry-after': 'soon' }), 1],
  'a year': [() => ({ 'retry-after': '31536000' }), 900],
  'seconds, in the words of Better Auth': [() => ({ 'x-retry-after': '7' }), 7],
}

export const retryAfter: Cases = casesOf(
  asks,
  ([headers, seconds]) =>
    async make => {
      await using scene = await startScenario(make)
      const { state, outcome, asked } = scene
      const dateIn = (later: number) => new Date(scene.now() + later * 1000).toUTCString()
      await scene.call()
      await scene.pass(239, 239)
      state.answer = response => response.writeHead(429, headers(dateIn)).end()
      await scene.pass(240)
      const invented = scene.invented()
      await expect(scene.verifier.verify(invented)).rejects.toMatchObject({
        reason: 'keys_unavailable',
        retryAfter: seconds,
      })
      state.answer = scene.answerWell
      await scene.pass(240 + seconds - 1, 10)
      expect(asked).toEqual([0, 240])
      await scene.pass(240 + seconds)
      expect(asked).toEqual([0, 240, 240 + seconds])
      expect(await outcome(invented)).toBe('unknown_key')
      scene.expectAllServed()
    },
  row => `an issuer whose 429 asks for ${row} is left alone for so long, and then asked`,
)
