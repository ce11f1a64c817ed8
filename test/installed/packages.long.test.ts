import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packPackage } from '../parts/installed-project.js'
import { root, run } from '../parts/program.js'

let packed: Awaited<ReturnType<typeof packPackage>>
beforeAll(async () => {
  packed = await packPackage()
})
afterAll(() => packed[Symbol.asyncDispose]())

describe.concurrent('npm', () => {
  test('installs for a frontend only what the client uses', async () => {
    await using project = await packed.install(['@trpc/client', '@trpc/server'])
    const modules = (await project.modules()).filter(name => !name.startsWith('.'))
    const own = ['@trpc', 'copy-anything', 'jose', 'superjson', 'trpc-bearer', 'zod']
    // @trpc/server has typescript as a peer.
    expect(modules.filter(name => !/typescript/.test(name))).toEqual(own)
    const names = "import * as all from 'trpc-bearer/client'; console.log(typeof all.createClient)"
    expect(await project.evaluate(names)).toMatchObject({ stdout: 'function\n', stderr: '' })
    await copyFile(join(root, 'test/installed/exported/client.ts'), join(project.path, 'client.ts'))
    // The types of tRPC itself need `Disposable`.
    const lib = 'es2023,dom,dom.iterable,esnext.disposable'
    const tsc = ['node_modules/typescript/bin/tsc', 'client.ts', '--noEmit', '--strict', '--lib', lib]
    const module = ['--target', 'es2023', '--module', 'nodenext', '--types', '']
    expect(await run(process.execPath, [...tsc, ...module], { cwd: project.path })).toMatchObject({
      code: 0,
      stdout: '',
    })
  })

  test('installs for the verifier alone nothing that it does not use', async () => {
    await using project = await packed.install([])
    const modules = (await project.modules()).filter(name => !name.startsWith('.'))
    expect(modules).toEqual(['copy-anything', 'jose', 'superjson', 'trpc-bearer', 'zod'])
    const names = "import * as all from 'trpc-bearer/verifier'; console.log(typeof all.createVerifier)"
    expect(await project.evaluate(names)).toMatchObject({ stdout: 'function\n', stderr: '' })
  })

  test.each([
    ['@trpc/tanstack-react-query', ['@trpc/tanstack-react-query@11.22.1', '@tanstack/react-query', 'react']],
    ['zod 4.0', ['zod@4.0.0']],
    ['what a bare npm install takes on Node 20', ['kysely@0.28.19', 'pg']],
  ])('installs beside %s', async (_, packages) => {
    const trpc = packages[0]?.startsWith('@trpc/') ? '11.22.1' : 'latest'
    const own = [`@trpc/server@${trpc}`, `@trpc/client@${trpc}`]
    await using project = await packed.install([...own, ...packages])
    expect(await project.modules()).toContain('trpc-bearer')
  })

  test.each([
    [
      'kysely',
      ['@trpc/server', 'kysely@0.28.5', 'pg', 'zod'],
      'db',
      'needs kysely 0.28.19 or later: npm install kysely@^0.29.9',
    ],
    ['zod', ['zod@3.25.76'], 'verifier', 'needs zod 4: npm install zod@^4'],
    [
      '@trpc/client',
      ['@trpc/client@10.45.2', '@trpc/server@10.45.2'],
      'client',
      'needs @trpc/client 11.22.1 or later: npm install @trpc/client@^11.22.1',
    ],
    [
      '@trpc/server',
      ['@trpc/server@11.0.0', 'kysely', 'pg', 'zod'],
      'server',
      'needs @trpc/server 11.22.1 or later: npm install @trpc/server@^11.22.1',
    ],
    ['pg', ['@trpc/server', 'kysely', 'pg@8.11.0', 'zod'], 'db', 'needs pg 8.23: npm install pg@~8.23.1'],
  ])(
    'with --legacy-peer-deps a too old %s is named in one line at import',
    async (_, packages, entry, message) => {
      await using project = await packed.install(packages, ['--legacy-peer-deps'])
      const program = `await import('trpc-bearer/${entry}').catch(error => console.log(error.message))`
      expect(await project.evaluate(program)).toMatchObject({ stdout: `trpc-bearer ${message}\n` })
    },
  )

  test('with packages missing, each command says in one line which to install', async () => {
    await using project = await packed.install(['pg'])
    const { PATH, HOME } = process.env
    const command = (name: string, env = {}) =>
      run('npx', ['trpc-bearer', name], { cwd: project.path, env: { PATH, HOME, ...env } })
    const embedded = '@electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17'
    const server = 'hono@^4.8.0 @hono/node-server@^2.1.0 pino@^10.0.0 prom-client@^15.0.0'
    const urls = { DATABASE_URL: 'postgres://api@db/app', BETTER_AUTH_URL: 'https://auth.example.com' }
    for (const [name, env, packages] of [
      ['start', {}, ` ${server} better-auth ${embedded}`],
      ['start', urls, ` ${server}`],
      ['migrate', {}, ` ${embedded}`],
      ['fence', urls, ''],
    ] as const) {
      const { code, stderr } = await command(name, env)
      const install = `npm install kysely@^0.29.0 @trpc/server@^11.22.1${packages}`
      const isEmbedded = packages.includes('@electric-sql')
      const hint =
        '. The last two are the embedded database. With DATABASE_URL and BETTER_AUTH_URL they are not needed.'
      const line = `trpc-bearer ${name} needs packages that are not installed: ${install}${isEmbedded ? hint : ''}\n`
      expect([code, stderr]).toEqual([1, line])
    }
    expect(await command('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('migrate') })
  })
})
