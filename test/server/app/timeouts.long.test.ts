import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startApp, startRemote } from '../../parts/app.js'
import { send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let app: Awaited<ReturnType<typeof startRemote>>
beforeAll(async () => {
  issuer = await startIssuer()
  app = await startRemote(issuer)
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

/** Opens a connection, sends this and then a byte a second, and answers what came back before the server hung up. */
async function dawdle(url: string, start: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
  let answer = ''
  socket.setEncoding('utf8').on('data', chunk => {
    answer += chunk
  })
  socket.write(start)
  const drip = setInterval(() => socket.write('x'), 1_000)
  await once(socket, 'close')
  clearInterval(drip)
  return answer
}

const head = (path: string) =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n`

// Each waits for a limit of ten seconds or so, and none of them works meanwhile.
describe.concurrent('a client that takes its time', { timeout: 60_000 }, () => {
  test('over its headers is cut off', async () => {
    const answer = await dawdle(app.url, 'GET /trpc/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('over its body is cut off', async () => {
    const answer = await dawdle(app.url, head('/trpc/tasks.create'))
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    expect((await send(app.url, '/trpc/health')).status).toBe(200)
  })

  test('to read the answers is cut off', { timeout: 120_000 }, async () => {
    await using api = await startApp(
      'PostgreSQL',
      { BETTER_AUTH_URL: issuer.url, STATEMENT_TIMEOUT: '1', DATABASE_CONNECT_TIMEOUT: '1' },
      name => issuer.tokenFor(name),
    )
    const notes = 'x'.repeat(10_000)
    await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        api.as('alice').tasks.create.mutate({ title: `Task ${n}`, notes }),
      ),
    )
    const input = encodeURIComponent(JSON.stringify({ json: { limit: 100 } }))
    const authorization = `Authorization: Bearer ${await api.tokenOf('alice')}`
    const request = `GET /trpc/tasks.list?input=${input} HTTP/1.1\r\nHost: localhost\r\n${authorization}\r\n\r\n`
    const { hostname, port } = new URL(api.url)
    const socket = connect(Number(port), hostname).on('error', () => {})
    // Thirty megabytes, more than the buffers of both sides hold.
    socket.write(request.repeat(30))
    const closed = new Promise(done => socket.once('close', done))
    await new Promise(wait => setTimeout(wait, 35_000))
    // A socket that does not read notices only when it writes. An open connection would wait ten seconds for the rest of this request.
    const drip = setInterval(() => socket.write('x'), 1_000)
    const open = new Promise(done => setTimeout(done, 7_000, 'still open'))
    expect(await Promise.race([closed, open])).not.toBe('still open')
    clearInterval(drip)
  })

  test('does not keep the server from stopping', async () => {
    const stopping = await startRemote(issuer)
    const call = dawdle(stopping.url, head('/trpc/tasks.create'))
    expect((await send(stopping.url, '/trpc/health')).status).toBe(200)
    await stopping.close()
    expect(await call).not.toContain('200 OK')
  })
})
