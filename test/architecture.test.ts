import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from './parts/program.js'

const folders = ['shared', 'db', 'server', 'client'] as const

interface Import {
  /** File from the root (`server/index.ts`), or the name of a package. */
  target: string
  typeOnly: boolean
  /** `import('a')`: loaded when it is called. */
  lazy: boolean
}

/** Every source file of the four folders. */
const names = new Set<string>()
const files = new Map<string, { source: string; imports: Import[] }>()

// `import { type A } from 'a'` still loads a: only `import type` goes away.
const statement = /^(?:import|export)\s+(type\s+)?(?:[\w*{},\s]+?\sfrom\s+)?'([^']+)'/gm

const call = /\bimport\(\s*(?:\/\*.*?\*\/\s*)*'([^']+)'/g

function importsOf(file: string, source: string): Import[] {
  const targetOf = (name: string) => {
    if (!name.startsWith('.')) return name
    const target = join(dirname(file), name).replace(/\.js$/, '.ts')
    return names.has(`${target}x`) ? `${target}x` : target
  }
  return [
    ...[...source.matchAll(statement)].map(([, type, name = '']) => ({
      target: targetOf(name),
      typeOnly: type !== undefined,
      lazy: false,
    })),
    ...[...source.matchAll(call)].map(([, name = '']) => ({
      target: targetOf(name),
      typeOnly: false,
      lazy: true,
    })),
  ]
}

for (const folder of folders) {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    if (/\.tsx?$/.test(entry.name))
      names.add(relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
  }
}
for (const file of names) {
  const source = await readFile(join(root, file), 'utf8')
  files.set(file, { source, imports: importsOf(file, source) })
}

const folderOf = (file: string) => file.split('/')[0] ?? ''
const isOwn = (target: string) => /\.tsx?$/.test(target)

/** Every import as a line, such as `client/client.ts -> server/routers/app.ts`. */
function linesOf(wanted: (file: string, imported: Import) => boolean): string[] {
  return [...files].flatMap(([file, { imports }]) =>
    imports.filter(imported => wanted(file, imported)).map(({ target }) => `${file} -> ${target}`),
  )
}

test('every import of the four folders is seen', () => {
  expect(linesOf((_, { target }) => isOwn(target) && !files.has(target))).toEqual([])
  const seen = importsOf(
    'server/a.ts',
    `import type { A } from './b.js'
import { c,
  type D } from 'c'
import 'node:fs'
export * from '../db/index.js'
export type { E } from 'e'
const lazy = import('f')
const quiet = import(/* webpackIgnore: true */ /* turbopackIgnore: true */ './g.js')
`,
  )
  const shown = ({ target, typeOnly, lazy }: Import) =>
    `${target}${typeOnly ? ' (type)' : ''}${lazy ? ' (lazy)' : ''}`
  expect(seen.map(shown)).toEqual([
    'server/b.ts (type)',
    'c',
    'node:fs',
    'db/index.ts',
    'e (type)',
    'f (lazy)',
    'server/g.ts (lazy)',
  ])
})

test('imports go one way: shared <- db <- server, and shared <- client', () => {
  const allowed: Record<string, readonly string[]> = {
    shared: ['shared'],
    db: ['shared', 'db'],
    server: ['shared', 'db', 'server'],
    client: ['shared', 'client'],
  }
  const wrong = linesOf((file, { target, typeOnly }) => {
    if (!isOwn(target) || allowed[folderOf(file)]?.includes(folderOf(target))) return false
    return !(typeOnly && folderOf(file) === 'client' && folderOf(target) === 'server')
  })
  expect(wrong).toEqual([])
})

test('the environment is read in one file', () => {
  const readers = [...files].filter(([, { source }]) =>
    /process\s*\.\s*env|\benv\b.*node:process/.test(source),
  )
  expect(readers.map(([file]) => file)).toEqual(['server/app/config.ts'])
})

/** Files and packages that importing a file loads. */
function loadedBy(entry: string, loaded = new Set<string>()): Set<string> {
  for (const { target, typeOnly, lazy } of files.get(entry)?.imports ?? []) {
    if (typeOnly || lazy || loaded.has(target)) continue
    loaded.add(target)
    loadedBy(target, loaded)
  }
  return loaded
}

test('importing the server’s entry loads nothing of Node, no driver, no host and no issuer', () => {
  const loaded = [...loadedBy('server/index.ts')]
  expect(loaded).toEqual(
    expect.arrayContaining(['server/verifier/create-verifier.ts', 'jose', '@trpc/server']),
  )
  const forbidden = /^(node:|pg(\/|$)|pino|prom-client|hono|@hono\/|better-auth|@electric-sql\/)/
  expect(loaded.filter(name => forbidden.test(name))).toEqual([])
})

test('importing the verifier’s entry loads what any runtime has, and neither tRPC nor Kysely', () => {
  const loaded = [...loadedBy('server/verifier/index.ts')]
  expect(loaded.filter(name => !isOwn(name)).sort()).toEqual(['jose', 'zod'])
  expect(linesOf((file, { lazy }) => file.startsWith('server/verifier/') && lazy)).toEqual([])
})

test.each(['client/index.ts', 'shared/index.ts'])(
  'importing %s loads nothing of Node and no server',
  entry => {
    const loaded = [...loadedBy(entry)]
    expect(loaded).not.toEqual([])
    expect(loaded.filter(name => /^(node:|server\/|db\/|pg(\/|$)|kysely)/.test(name))).toEqual([])
  },
)

test('client and shared import no module of Node, not even its types', () => {
  const wrong = linesOf((file, { target }) => /^(client|shared)\//.test(file) && target.startsWith('node:'))
  expect(wrong).toEqual([])
})

test('nothing under server/ imports better-auth statically: it is no dependency of the package', () => {
  expect(
    linesOf(
      (file, { target, lazy }) => folderOf(file) === 'server' && !lazy && /^@?better-auth/.test(target),
    ),
  ).toEqual([])
})

/** Rooms from the ground up: each imports from itself and from those on lower floors. Files beside the folders are rooms too. */
const floors = {
  db: [
    ['errors', 'schema', 'application-role', 'database-url'],
    ['database-problem'],
    ['wire', 'tables'],
    ['scoped', 'migrations'],
    ['embedded', 'fence'],
    ['open-database'],
    ['index'],
  ],
  server: [['verifier'], ['trpc'], ['routers'], ['http'], ['app'], ['commands', 'index'], ['main']],
} as const

describe.each(Object.entries(floors))('inside %s/', (folder, rooms) => {
  const roomOf = (file: string) => file.split('/')[1]?.replace(/\.ts$/, '') ?? ''
  const floorOf = (file: string) => rooms.findIndex(floor => floor.some(room => room === roomOf(file)))

  test('every room has a floor', () => {
    const inside = [...files.keys()].filter(file => folderOf(file) === folder)
    expect(inside.filter(file => floorOf(file) === -1)).toEqual([])
  })

  test('no room imports one above it or beside it', () => {
    const wrong = linesOf((file, { target }) => {
      if (folderOf(file) !== folder || !isOwn(target) || folderOf(target) !== folder) return false
      return roomOf(file) !== roomOf(target) && floorOf(target) >= floorOf(file)
    })
    expect(wrong).toEqual([])
  })
})

test('no file imports itself by way of others', () => {
  const inCycle = [...files.keys()].filter(file => reachableFrom(file).has(file))
  expect(inCycle).toEqual([])
})

/** Files that a file imports, by any number of steps, types included. */
function reachableFrom(entry: string, reached = new Set<string>()): Set<string> {
  for (const { target } of files.get(entry)?.imports ?? []) {
    if (!isOwn(target) || reached.has(target)) continue
    reached.add(target)
    reachableFrom(target, reached)
  }
  return reached
}

test('only db/wire uses the internals of pg', () => {
  const internals =
    /'pg\/lib|'pg-protocol|get\(\w+, 'connection'\)|\.sync\(\)|\b(parsedStatements|submittedNamedStatements|secretKey|processID|handle(RowDescription|DataRow|CommandComplete|PortalSuspended|ReadyForQuery))\b/
  const users = [...files].filter(([, { source }]) => internals.test(source)).map(([file]) => file)
  expect(users.map(file => file.split('/').slice(0, 2).join('/'))).toContain('db/wire')
  expect(users.filter(file => !file.startsWith('db/wire/'))).toEqual([])
})

test('the verifier imports no module of Node, and of the rest only shared/', () => {
  const wrong = linesOf(
    (file, { target }) =>
      file.startsWith('server/verifier/') &&
      (target.startsWith('node:') || (isOwn(target) && !/^(server\/verifier|shared)\//.test(target))),
  )
  expect(wrong).toEqual([])
})
