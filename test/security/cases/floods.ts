import { expect } from 'vitest'
import { makeKey } from '../../parts/issuer.js'
import { waitFor } from '../../parts/wait-for.js'
import { type Cases, startScenario } from './issuer-scenario.js'

type Scene = Awaited<ReturnType<typeof startScenario>>

/** Verifies many tokens at once, each with another invented kid. */
const flood = async ({ invented, outcome }: Scene, count: number) =>
  new Set(await Promise.all(Array.from({ length: count }, () => outcome(invented()))))

export const floods: Cases = {
  '2,000 invented kids at once cost five fetches at most': async make => {
    await using scene = await startScenario(make)
    await scene.call()
    const outcomes = await flood(scene, 2_000)
    for (const outcome of outcomes) expect(['unknown_key', 'keys_unavailable']).toContain(outcome)
    expect(scene.asked.length).toBeLessThanOrEqual(1 + 5)
    await scene.call()
    scene.expectAllServed()
  },
  '10,000 invented kids in 100 seconds cost five fetches and one in ten seconds': async make => {
    await using scene = await startScenario(make)
    const outcomes = new Set<string>()
    await scene.call()
    while (scene.state.at < 100) {
      await scene.pass(scene.state.at + 1)
      for (let i = 0; i < 10; i++) for (const outcome of await flood(scene, 10)) outcomes.add(outcome)
    }
    expect([...outcomes]).toEqual(['unknown_key', 'keys_unavailable'])
    expect(scene.asked.length).toBe(1 + 5 + 10)
    scene.expectAllServed()
  },
  'a flood from a cold start costs no more': async make => {
    await using scene = await startScenario(make)
    for (let i = 0; i < 100; i++) await flood(scene, 10)
    expect(scene.asked.length).toBe(1 + 5)
    await scene.call()
    scene.expectAllServed()
  },
  'keys that are too old cost no more, where the issuer has none any more': async make => {
    await using scene = await startScenario(make)
    await scene.call()
    scene.state.at = 86_401
    scene.state.keys.length = 0
    for (let n = 0; n < 100; n++)
      expect(await scene.outcome(await scene.sign(scene.key))).toBe('keys_unavailable')
    expect(scene.asked).toEqual([0, 86_401])
    scene.state.keys.push(scene.key.jwk)
    scene.state.at += 60
    expect(await scene.outcome(await scene.sign(scene.key))).toBe('accepted')
  },
  'a kid that the issuer does not have is asked about once in ten seconds': async make => {
    await using scene = await startScenario(make)
    const token = scene.invented()
    await scene.call()
    for (scene.state.at of [1, 2, 10]) expect(await scene.outcome(token)).toBe('unknown_key')
    expect(scene.asked).toEqual([0, 1])
    scene.state.at = 11
    expect(await scene.outcome(token)).toBe('unknown_key')
    expect(scene.asked).toEqual([0, 1, 11])
  },
  'two keys that are minted together are both found': async make => {
    await using scene = await startScenario(make)
    const keys = await Promise.all([makeKey(), makeKey()])
    const tokens = await Promise.all(keys.map(key => scene.sign(key)))
    await scene.call()
    scene.state.keys.push(...keys.map(({ jwk }) => jwk))
    expect(await Promise.all(tokens.map(scene.outcome))).toEqual(['accepted', 'accepted'])
    expect(scene.asked.length).toBe(2)
  },
  'five keys that are minted one after another are each found at once': async make => {
    await using scene = await startScenario(make)
    await scene.call()
    for (let i = 0; i < 5; i++) {
      const key = await makeKey()
      scene.state.keys.push(key.jwk)
      expect(await scene.outcome(await scene.sign(key))).toBe('accepted')
    }
    expect(scene.asked.length).toBe(1 + 5)
  },
  'a new key in the midst of a flood is unavailable for a while, never unknown, and then found':
    async make => {
      await using scene = await startScenario(make)
      const fresh = await makeKey()
      const token = await scene.sign(fresh)
      await scene.call()
      for (let i = 0; i < 6; i++) await flood(scene, 10)
      scene.state.keys.push(fresh.jwk)
      const refusal = await scene.verifier.verify(token).catch(error => error)
      expect(refusal).toMatchObject({ reason: 'keys_unavailable', retryAfter: 10 })
      while (scene.state.at < refusal.retryAfter - 1) {
        await scene.pass(scene.state.at + 1)
        await flood(scene, 10)
        expect(await scene.outcome(token)).toBe('keys_unavailable')
      }
      await scene.pass(refusal.retryAfter)
      // The flood comes first again, and its refresh brings every key.
      await flood(scene, 10)
      expect(await scene.outcome(token)).toBe('accepted')
      scene.expectAllServed()
    },
  'a flood of signatures that fail under a known kid costs as many fetches': async make => {
    await using scene = await startScenario(make)
    const forger = await makeKey('EdDSA', scene.key.kid)
    const forge = (i: number) => scene.sign(forger, { cty: String(i) })
    await scene.call()
    await scene.pass(60)
    for (let i = 0; i < 100; i++) {
      scene.state.at += 1
      expect(await scene.outcome(await forge(i))).toBe('signature')
    }
    // The key set must be older than 30 s each time.
    expect(scene.asked.length).toBeLessThanOrEqual(1 + 4)
    await scene.call()
    scene.expectAllServed()
  },
}

const thousand = ({ sign, key }: Scene) =>
  Promise.all(Array.from({ length: 1_000 }, (_, i) => sign(key, { cty: String(i) })))

export const concurrency: Cases = {
  '1,000 callers at once before there are keys cost one fetch': async make => {
    await using scene = await startScenario(make)
    const outcomes = await Promise.all((await thousand(scene)).map(scene.outcome))
    expect(new Set(outcomes)).toEqual(new Set(['accepted']))
    expect(scene.asked).toEqual([0])
  },
  '1,000 callers at once after a long silence cost one fetch': async make => {
    await using scene = await startScenario(make)
    await scene.call()
    scene.state.at = 3_600
    const outcomes = await Promise.all((await thousand(scene)).map(scene.outcome))
    expect(new Set(outcomes)).toEqual(new Set(['accepted']))
    // The fetch in the background may reach the issuer after the callers have their answers.
    await waitFor(() => expect(scene.asked.length).toBeGreaterThan(1))
    expect(scene.asked).toEqual([0, 3_600])
  },
  '1,000 callers at once with a new key cost one fetch': async make => {
    await using scene = await startScenario(make)
    const fresh = await makeKey()
    await scene.call()
    scene.state.keys.push(fresh.jwk)
    const outcomes = await Promise.all((await thousand({ ...scene, key: fresh })).map(scene.outcome))
    expect(new Set(outcomes)).toEqual(new Set(['accepted']))
    expect(scene.asked).toEqual([0, 0])
  },
  '1,000 callers at once cost an issuer that fails one fetch': async make => {
    await using scene = await startScenario(make)
    scene.state.answer = response => response.destroy()
    const outcomes = await Promise.all((await thousand(scene)).map(scene.outcome))
    expect(new Set(outcomes)).toEqual(new Set(['keys_unavailable']))
    expect(scene.asked).toEqual([0])
  },
}
