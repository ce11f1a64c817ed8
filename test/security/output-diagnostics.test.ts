import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { LRUCache } from 'lru-cache'
import { expect, test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { good, issuer, keys, noon, token } from './cases/token-fixtures.js'
import { OutputLog } from './secret-search.js'

/** The diagnostics channels of lru-cache from 11.3 on. */
const channels = [
  'lru-cache:metrics',
  ...['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map(step => `tracing:lru-cache:${step}`),
]

test('who listens to the process hears nothing of a token', async () => {
  const written = new OutputLog()
  const tokens = [good, await token({}, { kid: crypto.randomUUID() })].map(one => written.token(one))
  const listen = (message: unknown, name: string | symbol) => written.add(String(name), textOf(message))
  for (const name of channels) subscribe(name, listen)
  const verifier = createVerifier({ issuer, audience: issuer, keys: [keys.ed.jwk], now: () => noon * 1000 })
  for (const one of [...tokens, ...tokens]) await verifier.verify(one).catch(() => {})
  for (const name of channels) channel(name).publish({ key: 'planted-in-all-channels' })
  for (const name of channels) unsubscribe(name, listen)
  expect(written.leaks()).toEqual([])
  expect(written.find('planted-in-all-channels')).toEqual(channels)
})

/** The message with the keys and values of caches. */
function textOf(message: unknown): string {
  return JSON.stringify(message, (_, value) => (value instanceof LRUCache ? value.dump() : value))
}
