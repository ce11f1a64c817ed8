import { readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../../client/index.js'
import { socketsOfOwner } from '../../db/embedded/data-dir.js'
import { signUp } from '../parts/better-auth.js'
import { builtCommands } from '../parts/built-commands.js'
import { dataDir } from '../parts/database.js'
import { listen } from '../parts/listen.js'
import { startTypeScript } from '../parts/program.js'
import { temporaryFolder } from '../parts/temporary-folder.js'
import { waitFor } from '../parts/wait-for.js'

// Each test here starts a server or a program, which takes seconds.

let compiled: Awaited<ReturnType<typeof builtCommands>>
beforeAll(async () => {
  compiled = await builtCommands()
}, 60_000)
afterAll(() => compiled[Symbol.asyncDispose]())

/** A database and an issuer that are not running: the server starts anyway. */
const elsewhere = { DATABASE_URL: 'postgres://127.0.0.1:1/tasks', BETTER_AUTH_URL: 'http://127.0.0.1:1' }

/** A working folder with the data of a first start. */
async function startedBefore() {
  const folder = await temporaryFolder()
  const data = await dataDir()
  const env = { DATA_DIR: data.path }
  return {
    path: folder.path,
    env,
    dataDir: data.path,
    async [Symbol.asyncDispose]() {
      await folder[Symbol.asyncDispose]()
      await data[Symbol.asyncDispose]()
    },
  }
}

describe('a first start in an empty folder', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let server: Awaited<ReturnType<typeof compiled.startReady>>
  beforeAll(async () => {
    folder = await temporaryFolder()
    server = await compiled.startReady(folder.path)
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  test('the quickstart passes', async () => {
    await using quickstart = startTypeScript('examples/quickstart/main.ts', { API_URL: server.url })
    expect(await quickstart.ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('its files are readable only by their owner', async () => {
    const modeOf = async (path: string) => (await stat(join(folder.path, path))).mode & 0o777
    expect(await readdir(folder.path)).toEqual(['.data'])
    expect(await modeOf('.data')).toBe(0o700)
    expect(await modeOf('.data/auth-secret')).toBe(0o600)
  })
})

test('the quickstart says what to do if no server runs', async () => {
  await using quickstart = startTypeScript('examples/quickstart/main.ts', { PORT: '1' })
  expect(await quickstart.ended).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /^Nothing answers at http:\/\/127\.0\.0\.1:1\/.* npm start .* API_URL .*\n$/,
    ),
  })
})

test('a start after kill -9 has the data, the users and their sessions', async () => {
  await using folder = await startedBefore()
  await using killed = await compiled.startReady(folder.path, folder.env)
  const getToken = await signUp(killed.url, 'alice')
  const alice = createClient({ url: `${killed.url}/trpc`, getToken })
  const task = await alice.tasks.create.mutate({ title: 'milk' })
  await killed.stop('SIGKILL')

  await using again = await compiled.startReady(folder.path, {
    ...folder.env,
    PORT: new URL(killed.url).port,
  })
  expect(again.url).toBe(killed.url)
  const sameAlice = createClient({ url: `${again.url}/trpc`, getToken })
  expect((await sameAlice.tasks.list.query()).items).toEqual([task])
})

test('a second server in the same folder is refused in one line, and the first still serves', async () => {
  await using folder = await startedBefore()
  await using first = await compiled.startReady(folder.path, folder.env)
  const alice = createClient({ url: `${first.url}/trpc`, getToken: await signUp(first.url, 'alice') })
  const task = await alice.tasks.create.mutate({ title: 'milk' })
  await using second = compiled.start(folder.path, { ...folder.env, PORT: '0' })
  const { code, stdout, stderr } = await second.ended
  expect([code, stdout]).toEqual([1, 'Starting …\n'])
  expect(stderr.trimEnd().split('\n')).toEqual([expect.stringContaining(folder.dataDir)])
  expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  expect(await signUp(first.url, 'bob').then(bobsToken => bobsToken())).toMatch(/^ey/)
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

test('SIGTERM ends it with exit code 0 and releases the folder', async () => {
  await using folder = await startedBefore()
  await using server = await compiled.startReady(folder.path, folder.env)
  expect(await socketsOfOwner(folder.dataDir)).toBe(folder.dataDir)
  expect(await server.stop('SIGTERM')).toMatchObject({ code: 0, stderr: '' })
  expect(await socketsOfOwner(folder.dataDir)).toBeNull()
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow('fetch failed')
})

test('SIGINT (Ctrl-C) ends a ready server with exit code 0', async () => {
  await using folder = await startedBefore()
  await using server = await compiled.startReady(folder.path, folder.env)
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  expect(await server.stop('SIGINT')).toMatchObject({ code: 0, stderr: '' })
})

test('SIGINT (Ctrl-C) ends it with exit code 0 during the start', async () => {
  await using folder = await startedBefore()
  await using server = compiled.start(folder.path, { ...folder.env, PORT: '0' })
  await waitFor(async () => expect(await socketsOfOwner(folder.dataDir)).not.toBeNull(), {
    timeout: 10_000,
  })
  expect(await server.stop('SIGINT')).toMatchObject({ code: 0, stderr: '' })
  expect(await socketsOfOwner(folder.dataDir)).toBeNull()
})

describe('a start that is refused', () => {
  test.each([
    [{ PORT: 'abc' }, ['PORT: ']],
    [{ PORT: '-1', LOG_LEVEL: 'loud' }, ['PORT: ', 'LOG_LEVEL: ']],
  ])('with %o has one line for each variable, exits with 1 and starts nothing', async (env, names) => {
    await using folder = await temporaryFolder()
    await using server = compiled.start(folder.path, env)
    const { code, stdout, stderr } = await server.ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr.trimEnd().split('\n')).toEqual(names.map(name => expect.stringMatching(`^${name}`)))
    expect(await readdir(folder.path)).toEqual([])
  })

  test('for a port in use prints one line and releases the folder', async () => {
    await using taken = await listen(createServer())
    await using folder = await startedBefore()
    const { port } = new URL(taken.url)
    await using server = compiled.start(folder.path, { ...folder.env, PORT: port })
    const { code, stdout, stderr } = await server.ended
    expect([code, stdout]).toEqual([1, 'Starting …\n'])
    expect(stderr.trimEnd().split('\n')).toEqual([expect.stringContaining(port)])
    expect(await socketsOfOwner(folder.dataDir)).toBeNull()
  })
})

test('.env with a wrong value is refused with the name of the variable', async () => {
  await using folder = await temporaryFolder()
  await writeFile(join(folder.path, '.env'), 'PORT=abc\n')
  await using server = compiled.start(folder.path)
  expect(await server.ended).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^PORT: .+\n$/),
  })
})
