import express from 'express'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guard } from '../../../examples/verifier/express.js'
import { createVerifier } from '../../../server/verifier/index.js'
import { seconds as now } from '../../parts/clock.js'
import { claimsFrom, makeKey, startIssuer } from '../../parts/issuer.js'
import { startWeb } from '../../parts/listen.js'
import { startWorker } from '../../parts/workerd.js'

const key = await makeKey()
let issuer: Awaited<ReturnType<typeof startIssuer>>
let away: string
beforeAll(async () => {
  issuer = await startIssuer({ keys: [key] })
  const web = await startWeb(() => {})
  away = web.url
  await web.close()
})
afterAll(() => issuer.close())

async function startExpress(issuer: string) {
  const verifier = createVerifier({ issuer, audience: issuer, onProblem() {} })
  const app = express()
  app.get('/', guard(verifier), (_req, res) => void res.json({ hello: res.locals.user.id }))
  app.get('/edit', guard(verifier, 'notes:write'), (_req, res) => void res.json({ edited: true }))
  return startWeb(app)
}

const startFetch = (issuer: string) =>
  startWorker(`
    import { checkScope, createVerifier } from 'trpc-bearer/verifier'
    import { guarded } from './examples/verifier/fetch.ts'
    const issuer = ${JSON.stringify(issuer)}
    const verifier = createVerifier({ issuer, audience: issuer, onProblem() {} })
    const routes = {
      '/': guarded(verifier, (request, user) => Response.json({ hello: user.id })),
      '/edit': guarded(verifier, async () => Response.json({ edited: true }), 'notes:write'),
      '/inside': guarded(verifier, async (request, user) => {
        checkScope(user, 'notes:write')
        return Response.json({ edited: true })
      }),
    }
    export default { fetch: request => routes[new URL(request.url).pathname](request) }
  `)

async function ask(url: string, authorization?: string) {
  const response = await fetch(url, { headers: authorization === undefined ? {} : { authorization } })
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    retryAfter: response.headers.get('retry-after'),
    body: await response.json(),
  }
}

describe.each([
  ['Express', startExpress],
  ['a worker', startFetch],
])('examples/verifier: %s', (_, start) => {
  test('answers a valid token, refuses others with a challenge, and answers an outage with 503', async () => {
    await using web = await start(issuer.url)
    const token = await key.sign(issuer.claims())
    expect(await ask(web.url, `Bearer ${token}`)).toMatchObject({ status: 200, body: { hello: 'alice' } })
    expect(await ask(web.url)).toMatchObject({
      status: 401,
      challenge: 'Bearer',
      body: { reason: 'missing' },
    })
    const late = await key.sign(issuer.claims({ exp: now() - 60 }))
    expect(await ask(web.url, `bearer ${late}`)).toMatchObject({
      status: 401,
      challenge: 'Bearer error="invalid_token", error_description="The token has expired."',
      retryAfter: null,
      body: { reason: 'expired' },
    })
    await using broken = await start(away)
    expect(await ask(broken.url, `Bearer ${await key.sign(claimsFrom(away))}`)).toMatchObject({
      status: 503,
      challenge: null,
      retryAfter: expect.stringMatching(/^[1-9]\d*$/),
      body: { reason: 'keys_unavailable' },
    })
  })
})

test.each([
  ['Express', startExpress, '/edit'],
  ['a worker', startFetch, '/edit'],
  ['a handler of a worker', startFetch, '/inside'],
])('examples/verifier: %s requires a scope', async (_, start, path) => {
  await using web = await start(issuer.url)
  const edit = async (scope: string) =>
    ask(`${web.url}${path}`, `Bearer ${await key.sign(issuer.claims({ scope }))}`)
  expect(await edit('notes:read notes:write')).toMatchObject({ status: 200, body: { edited: true } })
  expect(await edit('notes:read')).toMatchObject({
    status: 403,
    challenge: expect.stringMatching(/^Bearer error="insufficient_scope".*scope="notes:write"$/),
    body: { reason: 'insufficient_scope' },
  })
})
