import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { readConfig, startServer } from '../../../server/index.js'
import { dataDir } from '../../parts/database.js'
import { bearer, json, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'

async function startOn(folder: { path: string }, env: Record<string, string> = {}) {
  const variables = { PORT: '0', LOG_LEVEL: 'silent', DATA_DIR: folder.path }
  const server = await startServer(readConfig({ ...variables, ...env }))
  return { ...server, [Symbol.asyncDispose]: server.close }
}

test('close() can be called again, during and after closing, and the server can be started again with its data', async () => {
  await using issuer = await startIssuer()
  await using folder = await dataDir()
  const headers = [bearer(await issuer.tokenFor('alice'))]
  await using first = await startOn(folder, { BETTER_AUTH_URL: issuer.url })
  const task = json({ json: { title: 'kept' } })
  await send(first.url, '/trpc/tasks.create', { ...task, headers: [...headers, ...task.headers] })
  await Promise.all([first.close(), first.close()])
  await first.close()
  await expect(send(first.url, '/healthz')).rejects.toMatchObject({ code: 'ECONNREFUSED' })

  await using second = await startOn(folder, { BETTER_AUTH_URL: issuer.url })
  expect(await (await send(second.url, '/trpc/tasks.list', { headers })).text()).toContain('"title":"kept"')
})

test('a port in use is a one-line error with advice, and everything is closed', async () => {
  await using folder = await dataDir()
  await using other = await listen(createServer())
  const refused = expect.objectContaining({
    name: 'PortError',
    message: `Port ${other.port} on 127.0.0.1 is in use: set PORT or HOST to another.`,
  })
  await expect(startOn(folder, { PORT: String(other.port) })).rejects.toEqual(refused)
  await using server = await startOn(folder)
  expect((await send(server.url, '/healthz')).status).toBe(200)
})
