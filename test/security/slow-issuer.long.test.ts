import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { makeKey } from '../parts/issuer.js'
import { type Answer, startScenario } from './cases/issuer-scenario.js'

// A fetch times out after three seconds of real time, so these tests run concurrently.
vi.setConfig({ maxConcurrency: 20 })

const never: Answer = () => {}
const after =
  (milliseconds: number): Answer =>
  async (response, keys) => {
    await sleep(milliseconds)
    response.end(keys)
  }
const drip: Answer = async (response, keys) => {
  response.write(keys.slice(0, -1))
  for (; !response.destroyed; await sleep(50)) response.write(' ')
}
const stalled: Answer = (response, keys) =>
  response.writeHead(200, { 'content-length': keys.length + 1 }).write(keys)

test.concurrent('an issuer that takes its time is waited for', async () => {
  await using scene = await startScenario()
  scene.state.answer = after(2_000)
  await scene.call()
  scene.expectAllServed()
})

const slow: [what: string, answer: Answer][] = [
  ['takes more than three seconds', after(3_500)],
  ['never answers', never],
  ['sends a byte now and then', drip],
  ['sends all keys, and does not end', stalled],
]

test.concurrent.each(slow)(
  'an issuer that %s is unavailable, and asked again when it may be',
  async (_, answer) => {
    await using scene = await startScenario()
    scene.state.answer = answer
    const token = await scene.sign(scene.key)
    expect(await scene.outcome(token)).toBe('keys_unavailable')
    expect(scene.verifier.status()).toEqual({ keys: 0, age: null, lastError: 'timeout' })
    scene.state.answer = scene.answerWell
    scene.state.at = 1
    expect(await scene.outcome(token)).toBe('accepted')
    expect(scene.asked).toEqual([0, 1])
    expect(scene.problems).toHaveLength(1)
  },
)

test.concurrent.each(slow)('no caller with a known key waits for an issuer that %s', async (_, answer) => {
  await using scene = await startScenario()
  const { state } = scene
  await scene.call()
  await scene.pass(239, 239)
  state.answer = answer
  const fresh = await scene.sign(await makeKey())
  let isOver = false
  const refused = scene.outcome(fresh).finally(() => {
    isOver = true
  })
  for (state.at of [240, 241, 242, 243]) await scene.call()
  expect([isOver, scene.asked.length]).toEqual([false, 2])
  expect(await refused).toBe('keys_unavailable')
  await scene.settle()
  // Each starts another fetch that hangs, as soon as one is allowed.
  for (let i = 0; i < 60; i++) {
    state.at += 60
    await scene.call()
  }
  expect(scene.asked.length).toBeLessThanOrEqual(2 + 60)
  expect(scene.problems).toHaveLength(1)
  scene.expectAllServed()
})

test.concurrent('the first caller after a long silence is served by known keys when the issuer hangs', async () => {
  await using scene = await startScenario()
  await scene.call()
  scene.state.at = 3_600
  scene.state.answer = never
  await scene.call()
  expect(scene.asked).toEqual([0, 3_600])
  scene.expectAllServed()
})
