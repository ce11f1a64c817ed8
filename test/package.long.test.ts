import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readPages } from './parts/docs.js'
import { root } from './parts/program.js'
import { temporaryFolder } from './parts/temporary-folder.js'

const run = promisify(execFile)

const consumer = `
import { createClient, isApiError, bearerAuth } from 'trpc-bearer/client'
import { openDatabase, protectTable, type Database } from 'trpc-bearer/db'
import { createFetchHandler, createVerifier, protectedProcedure, router, tasksRouter } from 'trpc-bearer/server'
import type { RouterOutputs, Task, User } from 'trpc-bearer/shared'
import { createVerifier as sameVerifier, type Verifier } from 'trpc-bearer/verifier'
import type { Generated } from 'kysely'

declare module 'trpc-bearer/db' {
  interface Database { notes: { user_id: Generated<string>; id: string } }
}
declare module 'trpc-bearer/shared' {
  interface User { role?: string }
}

const appRouter = router({
  tasks: tasksRouter,
  role: protectedProcedure.query(({ ctx }) => ctx.user.role ?? 'member'),
  notes: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('notes').select('id').execute()),
})
const verifier: Verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'api' })
if (createVerifier !== sameVerifier) throw new Error('There are two.')
export async function main() {
  const database = await openDatabase({ url: 'postgres://localhost:1/nothing' })
  const handler = createFetchHandler({ verifier, database, router: appRouter })
  const fetch = (input: RequestInfo | URL, init?: RequestInit) => handler(new Request(input, init))
  const api = createClient<typeof appRouter>({ url: 'http://localhost/trpc', getToken: () => null, fetch })
  const refusal: unknown = await api.role.query().catch((error: unknown) => error)
  if (!isApiError<typeof appRouter>(refusal)) throw refusal
  const reason: string | undefined = refusal.data?.reason
  // @ts-expect-error there is no such code
  if (refusal.data?.code === 'CONFLIT') throw refusal
  // @ts-expect-error there is no such reason
  if (refusal.data?.reason === 'expird') throw refusal
  const role: string = await api.role.query().catch(() => 'nobody')
  const first: Task | undefined = (await api.tasks.list.query().catch(() => ({ items: [] as Task[] }))).items[0]
  await database.close()
  console.log(JSON.stringify({ reason, role, first: first ?? null }))
}
void main()
export type { Database, RouterOutputs, User }
export { bearerAuth, protectTable }
`

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let files: string[]

beforeAll(async () => {
  folder = await temporaryFolder()
  const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder.path], {
    cwd: root,
  })
  const manifest = Object.values(
    JSON.parse(packed.stdout) as Record<string, { filename: string; files: { path: string }[] }>,
  )[0]
  files = manifest?.files.map(file => file.path) ?? []
  const modules = join(folder.path, 'node_modules')
  await mkdir(join(modules, 'trpc-bearer'), { recursive: true })
  const tarball = join(folder.path, manifest?.filename ?? '')
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(modules, 'trpc-bearer')])
  for (const name of await readdir(join(root, 'node_modules'))) {
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
  await writeFile(join(folder.path, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder.path, 'consumer.ts'), consumer)
}, 120_000)

afterAll(() => folder[Symbol.asyncDispose]())

test('the packed package contains the compiled entries, the licence, the docs and the examples, and no source or test', () => {
  expect(files).toEqual(
    expect.arrayContaining([
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'docs/security.md',
      'examples/server/main.ts',
      'package.json',
      'dist/server/index.js',
    ]),
  )
  const compiled = files.filter(file => !/^(examples\/|bench\/README\.md$)/.test(file))
  expect(compiled.filter(file => /(^|\/)(test|bench)\/|(?<!\.d)\.ts$/.test(file))).toEqual([])
})

test('every link of the packed README and docs leads to a packed file', async () => {
  const pages = (await readPages()).filter(({ file }) => files.includes(file) && file !== 'CONTRIBUTING.md')
  expect(pages.length).toBeGreaterThan(10)
  const broken = pages.flatMap(({ file, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)]
      .map(([, path = '']) => join(dirname(file), path))
      .filter(path => !files.includes(path))
      .map(path => `${file}: ${path}`),
  )
  expect(broken).toEqual([])
})

test('a strict project with skipLibCheck off compiles against it, extends it and runs', async () => {
  const options = [
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
    '--skipLibCheck',
    'false',
  ]
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, ...options, 'consumer.ts'], { cwd: folder.path }).catch(error => {
    throw new Error(error.stdout)
  })
  const { stdout } = await run(process.execPath, ['consumer.js'], { cwd: folder.path })
  expect(JSON.parse(stdout)).toEqual({ reason: 'missing', role: 'nobody', first: null })
}, 60_000)

test('better-auth is an optional peer of any version, and the error messages name the right peer versions', async () => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  expect(Object.keys(manifest.dependencies)).not.toContain('better-auth')
  expect(manifest.peerDependencies['better-auth']).toBe('*')
  expect(manifest.peerDependenciesMeta['better-auth']).toEqual({ optional: true })
  const embedded = await readFile(join(root, 'db/embedded/pglite.ts'), 'utf8')
  for (const [name, version] of Object.entries(manifest.peerDependencies)) {
    if (name.startsWith('@electric-sql/')) expect(embedded).toContain(`${name}@${version}`)
  }
})
