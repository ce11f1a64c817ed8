import { afterAll, beforeAll, expect, test } from 'vitest'
import { seconds as now } from '../../parts/clock.js'
import { algorithms, makeKey, startIssuer } from '../../parts/issuer.js'
import { bundle, startWorker } from '../../parts/workerd.js'

/** A worker with one verifier per issuer that a request names. The `ahead` header sets its clock forward, in seconds. */
const source = `
  import { createVerifier } from './server/verifier/index.ts'
  let ahead = 0
  let context
  const verifiers = new Map()
  const verifierOf = issuer => {
    if (!verifiers.has(issuer)) verifiers.set(issuer, createVerifier({
      issuer,
      audience: issuer,
      now: () => Date.now() + ahead * 1000,
      waitUntil: refresh => context?.waitUntil(refresh),
      onProblem() {},
    }))
    return verifiers.get(issuer)
  }
  export default {
    async fetch(request, env, ctx) {
      ahead = Number(request.headers.get('ahead'))
      context = request.headers.has('wait-until') ? ctx : undefined
      const verifier = verifierOf(request.headers.get('issuer'))
      const verdict = await verifier.verify(await request.text()).catch(error => ({ refused: error.reason ?? String(error) }))
      return Response.json({ ...verdict, age: verifier.status().age })
    },
  }
`

let worker: Awaited<ReturnType<typeof startWorker>>
beforeAll(async () => {
  worker = await startWorker(source)
})
afterAll(() => worker[Symbol.asyncDispose]())

async function verify(issuer: string, token: string, headers: Record<string, string> = {}) {
  const response = await fetch(worker.url, { method: 'POST', body: token, headers: { issuer, ...headers } })
  const text = await response.text()
  if (!text.startsWith('{')) throw new Error(text)
  return JSON.parse(text)
}

test.each([
  ['workers', undefined],
  ['any runtime', []],
])('bundled for %s, the verifier contains no Node module', async (_, conditions) => {
  const code = await bundle(source, conditions)
  expect(code).toContain('createVerifier')
  expect(code).not.toMatch(/\bnode:|\bprocess\.|\brequire\(/)
  await expect(bundle("import 'node:crypto'")).rejects.toThrow('node:crypto')
})

test.each(algorithms)(
  'in workerd a token signed with %s is verified with keys fetched over HTTP',
  async alg => {
    const [key, stranger] = await Promise.all([makeKey(alg), makeKey(alg)])
    await using issuer = await startIssuer({ keys: [key] })
    const token = await key.sign(issuer.claims())
    const verdicts = await Promise.all([verify(issuer.url, token), verify(issuer.url, token)])
    expect(verdicts).toMatchObject([{ id: 'alice' }, { id: 'alice' }])
    expect(issuer.requests()).toBe(1)
    const forged = await stranger.sign(issuer.claims(), { kid: key.kid })
    expect(await verify(issuer.url, forged)).toMatchObject({ refused: 'signature' })
    expect(await verify(issuer.url, await stranger.sign(issuer.claims()))).toMatchObject({
      refused: 'unknown_key',
    })
  },
)

/** A token that is valid for an hour, and a worker that has verified it. */
async function startWarm() {
  const key = await makeKey()
  const issuer = await startIssuer({ keys: [key] })
  const token = await key.sign(issuer.claims({ exp: now() + 3600 }))
  expect(await verify(issuer.url, token)).toMatchObject({ id: 'alice' })
  return {
    issuer,
    verify: (headers: Record<string, string>) => verify(issuer.url, token, headers),
    [Symbol.asyncDispose]: issuer.close,
  }
}

test('a background refresh that workerd stops with its request delays no other request', async () => {
  await using warm = await startWarm()
  expect(await warm.verify({ ahead: '250' })).toMatchObject({ id: 'alice' })
  const verdicts = await Promise.all([warm.verify({ ahead: '301' }), warm.verify({ ahead: '301' })])
  expect(verdicts).toMatchObject([{ id: 'alice' }, { id: 'alice' }])
  expect((await warm.verify({ ahead: '302' })).age).toBeLessThan(60)
})

test('after workerd has stopped a refresh, the next one is waited for', async () => {
  await using warm = await startWarm()
  expect(await warm.verify({ ahead: '3000' })).toMatchObject({ id: 'alice' })
  expect(await warm.verify({ ahead: '3011' })).toMatchObject({ id: 'alice' })
  expect((await warm.verify({ ahead: '3012' })).age).toBeLessThan(60)
})

test('waitUntil lets a background refresh finish', async () => {
  await using warm = await startWarm()
  expect(await warm.verify({ ahead: '250', 'wait-until': 'yes' })).toMatchObject({ id: 'alice' })
  await expect.poll(async () => (await warm.verify({ ahead: '251' })).age).toBeLessThan(60)
  expect(warm.issuer.requests()).toBe(2)
})
