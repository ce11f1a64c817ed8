import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../../client/index.js'
import { signUp } from '../parts/better-auth.js'
import { builtCommands } from '../parts/built-commands.js'
import { startTypeScript } from '../parts/program.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

let compiled: Awaited<ReturnType<typeof builtCommands>>
beforeAll(async () => {
  compiled = await builtCommands()
}, 60_000)
afterAll(() => compiled[Symbol.asyncDispose]())

/** A database and an issuer that are not running: the server starts anyway. */
const elsewhere = { DATABASE_URL: 'postgres://127.0.0.1:1/tasks', BETTER_AUTH_URL: 'http://127.0.0.1:1' }

describe('a first start in an empty folder', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let server: Awaited<ReturnType<typeof compiled.startReady>>
  let banner: string
  beforeAll(async () => {
    folder = await temporaryFolder()
    server = await compiled.startReady(folder.path)
    ;[banner] = await server.waitForOutput(/^trpc-bearer runs[\s\S]+quickstart\n/)
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  test('the quickstart passes with the command of the welcome text', async () => {
    const [, API_URL = ''] = /API_URL=(\S+) npm run quickstart/.exec(banner) ?? []
    await using quickstart = startTypeScript('examples/quickstart/main.ts', { API_URL })
    expect(await quickstart.ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('a second server in the same folder is refused in one line, and the first still serves', async () => {
    const getToken = await signUp(server.url, 'alice')
    const alice = createClient({ url: `${server.url}/trpc`, getToken })
    const task = await alice.tasks.create.mutate({ title: 'milk' })
    await using second = compiled.start(folder.path, { PORT: '0' })
    const { code, stdout, stderr } = await second.ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr.trimEnd().split('\n')).toEqual([expect.stringContaining(join(folder.path, '.data'))])
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
    expect(await signUp(server.url, 'bob').then(bobsToken => bobsToken())).toMatch(/^ey/)
  })

  test('its files are readable only by their owner', async () => {
    const modeOf = async (path: string) => (await stat(join(folder.path, path))).mode & 0o777
    expect(await readdir(folder.path)).toEqual(['.data'])
    expect(await modeOf('.data')).toBe(0o700)
    expect(await modeOf('.data/auth-secret')).toBe(0o600)
  })
})

test('a start without required variables has one line for each, exits with 1 and starts nothing', async () => {
  await using folder = await temporaryFolder()
  await using server = compiled.start(folder.path, { NODE_ENV: 'production' })
  const { code, stdout, stderr } = await server.ended
  expect([code, stdout]).toEqual([1, ''])
  const lines = ['DATABASE_URL: ', 'BETTER_AUTH_URL: '].map(name => expect.stringMatching(`^${name}`))
  expect(stderr.trimEnd().split('\n')).toEqual(lines)
  expect(await readdir(folder.path)).toEqual([])
})

test('.env in the working folder is read, and variables of the environment win', async () => {
  await using folder = await temporaryFolder()
  const lines = Object.entries({ ...elsewhere, PORT: 'abc' }).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(join(folder.path, '.env'), lines.join(''))
  await using server = compiled.start(folder.path, { PORT: '0' })
  const [, url] = await server.waitForOutput(/"url":"([^"]+)","issuer":"http:\/\/127.0.0.1:1"/)
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
  expect(await readdir(folder.path)).toEqual(['.env'])
})
