import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, test, vi } from 'vitest'
import { endWithToken } from '../../../server/trpc/end-with-token.js'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const inAMinute = () => Date.now() + 60_000
const guarded = (stream: AsyncIterable<unknown>, verify: () => Promise<void> = async () => {}) =>
  endWithToken(stream, {
    verify,
    expiry: inAMinute,
    abort: undefined,
    signal: undefined,
  }) as AsyncIterable<object>

afterEach(() => void vi.useRealTimers())

test('a value that was read is not kept in memory', async () => {
  const refs: WeakRef<object>[] = []
  async function* values() {
    for (let n = 0; n < 1_000; n++) {
      const value = { n }
      refs.push(new WeakRef(value))
      yield value
    }
  }
  let read = 0
  for await (const _ of guarded(values())) {
    if (++read < 1_000) continue
    // A WeakRef keeps its value until the end of the turn.
    await sleep(0)
    collectGarbage()
    expect(refs.filter(ref => ref.deref() !== undefined).length).toBeLessThan(10)
  }
  expect(read).toBe(1_000)
})

test('a verification that is running when the client leaves is the last one', async () => {
  vi.useFakeTimers()
  let answer = () => {}
  const verified = new Promise<void>(resolve => {
    answer = resolve
  })
  const verify = vi.fn(() => verified)
  async function* endless() {
    for (;;) yield {}
  }
  for await (const _ of guarded(endless(), verify)) {
    await vi.advanceTimersByTimeAsync(15_000)
    break
  }
  expect(verify).toHaveBeenCalledOnce()
  answer()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(verify).toHaveBeenCalledOnce()
  expect(vi.getTimerCount()).toBe(0)
})

test('a refusal while the client is busy with a value ends the stream at the next one', async () => {
  vi.useFakeTimers()
  async function* endless() {
    for (;;) yield {}
  }
  const read = async () => {
    for await (const _ of guarded(endless(), () => Promise.reject(new Error('revoked'))))
      await vi.advanceTimersByTimeAsync(15_000)
  }
  await expect(read()).rejects.toThrow('revoked')
})
