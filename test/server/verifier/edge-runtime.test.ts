import { expect, test } from 'vitest'
import { seconds as now } from '../../parts/clock.js'
import { algorithms, makeKey, startIssuer } from '../../parts/issuer.js'
import { bundle, startWorker } from '../../parts/workerd.js'

/** A verifier for all requests of a worker, whose clock is as far ahead (in seconds) as the request says. */
const source = (issuer: string) => `
  import { createVerifier } from './server/verifier/index.ts'
  const issuer = ${JSON.stringify(issuer)}
  let ahead = 0
  let context
  const verifier = createVerifier({
    issuer,
    audience: issuer,
    now: () => Date.now() + ahead * 1000,
    waitUntil: refresh => context?.waitUntil(refresh),
    onProblem() {},
  })
  export default {
    async fetch(request, env, ctx) {
      ahead = Number(request.headers.get('ahead'))
      context = request.headers.has('wait-until') ? ctx : undefined
      const verdict = await verifier.verify(await request.text()).catch(error => ({ refused: error.reason ?? String(error) }))
      return Response.json({ ...verdict, age: verifier.status().age })
    },
  }
`

async function startVerifier(issuer: string) {
  const worker = await startWorker(source(issuer))
  return {
    ...worker,
    async verify(token: string, headers: Record<string, string> = {}) {
      const response = await fetch(worker.url, { method: 'POST', body: token, headers })
      const text = await response.text()
      if (!text.startsWith('{')) throw new Error(text)
      return JSON.parse(text)
    },
  }
}

test.each([
  ['workers', undefined],
  ['no host in particular', []],
])(
  'bundled for %s, the verifier is made of what any runtime has: no module of Node is in it',
  async (_, conditions) => {
    const code = await bundle(source('https://auth.example.com'), conditions)
    expect(code).toContain('createVerifier')
    expect(code).not.toMatch(/\bnode:|\bprocess\.|\brequire\(/)
    await expect(bundle("import 'node:crypto'")).rejects.toThrow('node:crypto')
  },
)

test.each(algorithms)(
  'in workerd a token signed with %s is verified by keys that come over HTTP',
  async alg => {
    const [key, stranger] = await Promise.all([makeKey(alg), makeKey(alg)])
    await using issuer = await startIssuer({ keys: [key] })
    await using worker = await startVerifier(issuer.url)
    const token = await key.sign(issuer.claims())
    const verdicts = await Promise.all([worker.verify(token), worker.verify(token)])
    expect(verdicts).toMatchObject([{ id: 'alice' }, { id: 'alice' }])
    expect(issuer.requests()).toBe(1)
    const forged = await stranger.sign(issuer.claims(), { kid: key.kid })
    expect(await worker.verify(forged)).toMatchObject({ refused: 'signature' })
    expect(await worker.verify(await stranger.sign(issuer.claims()))).toMatchObject({
      refused: 'unknown_key',
    })
  },
)

/** A token that holds for an hour, and a worker that has verified it. */
async function startWarm() {
  const key = await makeKey()
  const issuer = await startIssuer({ keys: [key] })
  const worker = await startVerifier(issuer.url)
  const token = await key.sign(issuer.claims({ exp: now() + 3600 }))
  expect(await worker.verify(token)).toMatchObject({ id: 'alice' })
  return {
    issuer,
    verify: (headers: Record<string, string>) => worker.verify(token, headers),
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await issuer.close()
    },
  }
}

test('a refresh in the background that workerd ends with its request holds up nobody', async () => {
  await using warm = await startWarm()
  expect(await warm.verify({ ahead: '250' })).toMatchObject({ id: 'alice' })
  const verdicts = await Promise.all([warm.verify({ ahead: '301' }), warm.verify({ ahead: '301' })])
  expect(verdicts).toMatchObject([{ id: 'alice' }, { id: 'alice' }])
  expect((await warm.verify({ ahead: '302' })).age).toBeLessThan(60)
})

test('after a silence workerd ends the first refresh with its request, and the next one is waited for', async () => {
  await using warm = await startWarm()
  expect(await warm.verify({ ahead: '3000' })).toMatchObject({ id: 'alice' })
  expect(await warm.verify({ ahead: '3011' })).toMatchObject({ id: 'alice' })
  expect((await warm.verify({ ahead: '3012' })).age).toBeLessThan(60)
})

test('waitUntil keeps a refresh in the background going', async () => {
  await using warm = await startWarm()
  expect(await warm.verify({ ahead: '250', 'wait-until': 'yes' })).toMatchObject({ id: 'alice' })
  await expect.poll(async () => (await warm.verify({ ahead: '251' })).age).toBeLessThan(60)
  expect(warm.issuer.requests()).toBe(2)
})
