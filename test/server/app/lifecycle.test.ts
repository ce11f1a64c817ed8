import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { ConfigError, readConfig, startServer } from '../../../server/index.js'
import { startRemote } from '../../parts/app.js'
import { dataDir, migratedDatabase, nowhere } from '../../parts/database.js'
import { send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { freePort } from '../../parts/listen.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'
import { waitFor } from '../../parts/wait-for.js'

/** A running call: the server has the headers and waits for the rest of the body. */
async function startCall(url: string, token: string) {
  const body = JSON.stringify({ json: { title: 'finished' } })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const head = [
    'POST /trpc/tasks.create HTTP/1.1',
    'Host: 127.0.0.1',
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Expect: 100-continue',
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  let answer = ''
  socket.setEncoding('utf8').on('data', chunk => {
    answer += chunk
  })
  await once(socket, 'data')
  return {
    [Symbol.dispose]: () => void socket.destroy(),
    async finish() {
      const closed = once(socket, 'close')
      socket.write(body)
      await closed
      return answer.replace('HTTP/1.1 100 Continue\r\n\r\n', '')
    },
  }
}

test('close() lets a running call finish and accepts no new one', async () => {
  await using issuer = await startIssuer()
  await using database = await migratedDatabase()
  await using server = await startRemote(issuer, { DATABASE_URL: database.url })
  using call = await startCall(server.url, await issuer.tokenFor('alice'))

  const closing = server.close()
  await expect(send(server.url, '/trpc/health')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  const answer = await call.finish()
  expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  expect(answer).toContain('"title":"finished"')
  await closing
})

test('close() does not wait for idle connections', async () => {
  await using issuer = await startIssuer()
  await using database = await migratedDatabase()
  await using server = await startRemote(issuer, { DATABASE_URL: database.url })
  const agent = new Agent({ keepAlive: true })
  const [response] = await once(get(`${server.url}/trpc/health`, { agent }), 'response')
  const idle = response.resume().socket
  await once(response, 'end')
  using call = await startCall(server.url, await issuer.tokenFor('alice'))

  const closing = server.close()
  await once(idle, 'close')
  // The other call still runs, so the idle connection was not closed by force at the end.
  expect(await call.finish()).toMatch(/^HTTP\/1\.1 200 /)
  await closing
  agent.destroy()
})

test('close() right after the start logs no problem of the check that the start began', async () => {
  await using issuer = await startIssuer({ mode: 'away' })
  await using database = await migratedDatabase()
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    const server = await startRemote(issuer, { DATABASE_URL: database.url, LOG_LEVEL: 'warn' })
    await server.close()
    await sleep(200)
    expect(write.mock.calls.map(([line]) => String(line))).toEqual([])
  } finally {
    write.mockRestore()
  }
})

if (process.env.LONG_TESTS) {
  test('a request during the start is answered with 503 and when to try again', async () => {
    await using folder = await dataDir()
    const port = await freePort()
    const variables = {
      PORT: String(port),
      LOG_LEVEL: 'silent',
      DATA_DIR: folder.path,
      DATABASE_URL: nowhere,
    }
    const starting = startServer(readConfig(variables))
    try {
      // The server listens first, and then starts its own issuer.
      const early = await waitFor(() => send(`http://127.0.0.1:${port}`, '/trpc/health'), { interval: 5 })
      expect([early.status, early.headers.get('retry-after')]).toEqual([503, '1'])
      expect(await early.json()).toEqual({ error: 'Starting.' })
    } finally {
      await starting.then(({ close }) => close())
    }
  })
}

test('an address of another machine is a one-line error too', async () => {
  await using issuer = await startIssuer()
  const refused = expect.objectContaining({
    name: 'PortError',
    message: expect.stringMatching(/^Port .* HOST .*\.$/),
  })
  // RFC 5737: an address for documentation, which no machine has.
  await expect(startRemote(issuer, { HOST: '192.0.2.1' })).rejects.toEqual(refused)
})

test.each(['0.0.0.0', '::', '192.0.2.1', 'example.com', ''])(
  'a configuration made by hand that would put the in-process issuer on a network (%j) is refused',
  async host => {
    await using folder = await temporaryFolder()
    const config = {
      ...readConfig({ PORT: '0', LOG_LEVEL: 'silent', DATA_DIR: join(folder.path, 'data') }),
      host,
    }
    const error: unknown = await startServer(config).catch(cause => cause)
    expect(error).toBeInstanceOf(ConfigError)
    expect(error).toMatchObject({
      message: `HOST: "${host}" is not a loopback address, and the in-process issuer must not be on a network. Use 127.0.0.1, or set BETTER_AUTH_URL (or JWKS_URL) to your issuer.`,
    })
    expect(await readdir(folder.path)).toEqual([])
  },
)
