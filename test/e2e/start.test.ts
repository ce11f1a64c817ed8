import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtCommands } from '../parts/built-commands.js'
import { dataDir } from '../parts/database.js'
import { startProgram, startTypeScript } from '../parts/program.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

let compiled: Awaited<ReturnType<typeof builtCommands>>
beforeAll(async () => {
  compiled = await builtCommands()
}, 60_000)
afterAll(() => compiled[Symbol.asyncDispose]())

describe('a start with the data of the first start', () => {
  let data: Awaited<ReturnType<typeof dataDir>>
  let server: Awaited<ReturnType<typeof compiled.startReady>>
  let banner: string
  beforeAll(async () => {
    data = await dataDir()
    server = await compiled.startReady(compiled.path, { DATA_DIR: data.path })
    ;[banner] = await server.waitForOutput(/^trpc-bearer runs[\s\S]+\/trpc\/me\n/m)
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await data[Symbol.asyncDispose]()
  })

  test('the quickstart passes', async () => {
    await using quickstart = startTypeScript('examples/quickstart/main.ts', { API_URL: server.url })
    expect(await quickstart.ended).toMatchObject({ code: 0, stderr: '' })
  })

  if (process.env.LONG_TESTS) {
    test.each(['bash', 'sh'])(
      'the two curl commands of its first lines work as they stand in %s',
      async shell => {
        const commands = banner.split('\n').filter(line => /^ {2}(TOKEN|curl)/.test(line))
        expect(commands).toHaveLength(2)
        await using session = startProgram(shell, ['-c', commands.join('\n')])
        const { code, stdout } = await session.ended
        expect(code).toBe(0)
        expect(JSON.parse(stdout)).toMatchObject({
          result: { data: { json: { name: 'You', email: expect.stringMatching(/^you-.+@example\.com$/) } } },
        })
      },
    )
  }
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
