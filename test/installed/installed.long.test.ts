import { execFile } from 'node:child_process'
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root, run } from '../parts/program.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

const execute = promisify(execFile)

let packed: Awaited<ReturnType<typeof temporaryFolder>>
let tarball: string
beforeAll(async () => {
  packed = await temporaryFolder()
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', packed.path]
  const { stdout } = await execute('npm', args, { cwd: root })
  const [{ filename = '' } = {}] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>)
  tarball = join(packed.path, filename)
})
afterAll(() => packed[Symbol.asyncDispose]())

/** An empty project, into which npm installs the package and others. */
async function install(packages: readonly string[], options: readonly string[] = []) {
  const folder = await temporaryFolder()
  await writeFile(
    join(folder.path, 'package.json'),
    '{ "name": "project", "private": true, "type": "module" }',
  )
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', ...options, tarball, ...packages]
  const { code, stderr } = await run('npm', args, { cwd: folder.path })
  if (code !== 0) throw new Error(stderr)
  const modules = async () => (await readdir(join(folder.path, 'node_modules'))).sort()
  const evaluate = (program: string) =>
    run(process.execPath, ['--input-type=module', '-e', program], { cwd: folder.path })
  return { ...folder, modules, evaluate }
}

const api = ['@trpc/server', '@trpc/client', 'kysely', 'pg', '@types/pg', '@types/node@20']
const entries = (await readdir(join(root, 'test/installed/exported'))).sort()

describe('the inferred type of everything exported', () => {
  let project: Awaited<ReturnType<typeof install>>
  beforeAll(async () => {
    project = await install([...api, 'ts5@npm:typescript@~5.9.3', 'ts7@npm:typescript@^7.0.0'])
    for (const entry of entries)
      await copyFile(join(root, 'test/installed/exported', entry), join(project.path, entry))
    await copyFile(join(root, 'test/installed/declare-all.mjs'), join(project.path, 'declare-all.mjs'))
  })
  afterAll(() => project[Symbol.asyncDispose]())

  const resolutions = [
    ['nodenext', ['--module', 'nodenext']],
    ['bundler', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  ] as const
  const cases = resolutions.flatMap(([name, module]) =>
    ['true', 'false'].map(skipLibCheck => [name, skipLibCheck, module] as const),
  )
  const declared = (entry: string) =>
    readFile(join(project.path, 'out', entry.replace('.ts', '.d.ts')), 'utf8')

  // Each file alone: another one could import what it lacks. The check of libraries is the same for all.
  test.each(cases)('can be declared by TypeScript 7 with %s and skipLibCheck %s', async (_, skip, module) => {
    const tsc = join(project.path, 'node_modules/ts7/bin/tsc')
    const options = ['--strict', '--target', 'es2023', '--types', 'node', '--declaration', '--outDir', 'out']
    for (const files of skip === 'true' ? entries.map(entry => [entry]) : [entries]) {
      const args = [tsc, ...files, ...options, '--skipLibCheck', skip, ...module]
      expect(await run(process.execPath, args, { cwd: project.path })).toMatchObject({ code: 0, stdout: '' })
    }
    for (const entry of entries) expect(await declared(entry)).not.toMatch(/: any\b|<any>/)
  })

  test('can be declared by TypeScript 5.9 in each of these ways', async () => {
    const args = ['declare-all.mjs', ...entries]
    expect(await run(process.execPath, args, { cwd: project.path })).toMatchObject({ code: 0, stdout: '' })
    for (const entry of entries) expect(await declared(entry)).not.toMatch(/: any\b|<any>/)
  })
})

describe('npm', () => {
  test('installs for a frontend only what the client uses', async () => {
    await using project = await install(['@trpc/client', '@trpc/server'])
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
    await using project = await install([])
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
    await using project = await install([...own, ...packages])
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
      await using project = await install(packages, ['--legacy-peer-deps'])
      const program = `await import('trpc-bearer/${entry}').catch(error => console.log(error.message))`
      expect(await project.evaluate(program)).toMatchObject({ stdout: `trpc-bearer ${message}\n` })
    },
  )

  test('with packages missing, each command says in one line which to install', async () => {
    await using project = await install(['pg'])
    const { PATH, HOME } = process.env
    const command = (name: string, env = {}) =>
      run('npx', ['trpc-bearer', name], { cwd: project.path, env: { PATH, HOME, ...env } })
    const embedded = '@electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17'
    const server = 'hono@^4.8.0 @hono/node-server@^2.0.1 pino@^10.0.0 prom-client@^15.0.0'
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
