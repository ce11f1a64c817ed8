import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blocksOf, readPages } from './parts/docs.js'
import { root, run } from './parts/program.js'
import { temporaryFolder } from './parts/temporary-folder.js'

const blocks = (await readPages()).flatMap(blocksOf)

/** Names that the fragments use and do not declare. NestJS is not installed: the types are those that a fragment uses. */
const names = `
import type { TRPCClient } from '@trpc/client'
import type { Express } from 'express'
import * as teams from '${root}examples/teams/auth.js'
import * as drizzleUser from '${root}examples/drizzle/as-user.js'
import * as drizzleNotes from '${root}examples/drizzle/notes.js'
import * as notes from '${root}examples/notes/router.js'
import * as expressGuard from '${root}examples/verifier/express.js'
import * as fetchGuard from '${root}examples/verifier/fetch.js'
import * as server from 'trpc-bearer/server'
import * as verifierEntry from 'trpc-bearer/verifier'
import type { OpenDatabase } from 'trpc-bearer/db'
import type { Task } from 'trpc-bearer/shared'
import type { JSONWebKeySet } from 'jose'

declare global {
  const database: OpenDatabase
  const verifier: verifierEntry.Verifier
  const handler: ReturnType<typeof server.createNodeHandler>
  const createNodeHandler: typeof server.createNodeHandler
  const createVerifier: typeof server.createVerifier
  const protectedProcedure: typeof server.protectedProcedure
  const router: typeof server.router
  const up: typeof notes.up
  const notesAppRouter: typeof notes.notesAppRouter
  type NotesAppRouter = notes.NotesAppRouter
  const asUser: drizzleUser.AsUser
  const createAsUser: typeof drizzleUser.createAsUser
  const createNotesRouter: typeof drizzleNotes.createNotesRouter
  const guard: typeof expressGuard.guard
  const guarded: typeof fetchGuard.guarded
  const api: TRPCClient<server.AppRouter>
  const task: Task
  const getToken: () => Promise<string | null>
  const app: Express
  const auth: ReturnType<typeof teams.createAuth>
  const yourRouter: server.AppRouter
  const createContext: ReturnType<typeof server.createContextFactory>
  const AppModule: object
  const Tasks: () => null
  const issuer: string
  const audience: string
  const token: string
  const jwks: JSONWebKeySet
  const fenceSecret: string
  const revokedIds: Set<string>
}
`
const missingPackages = `
declare module '@nestjs/core' {
  export const NestFactory: {
    create(module: object): Promise<{
      use(path: string, handle: (req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse) => void): void
      listen(port: number): Promise<void>
    }>
  }
}
declare module 'next/headers' {
  export function headers(): Promise<Headers>
}
declare module 'next/server' {
  export function connection(): Promise<void>
}
declare module '@fastify/cors' {
  const cors: import('fastify').FastifyPluginAsync<{ origin: string; methods: string[] }>
  export default cors
}
`

test('every other block of TypeScript has the types that it needs', async () => {
  const fragments = blocks.filter(({ example }) => example === undefined)
  await using folder = await temporaryFolder()
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'))
  await writeFile(join(folder.path, 'names.d.ts'), names)
  await writeFile(join(folder.path, 'packages.d.ts'), missingPackages)
  for (const [index, { page, code, language }] of fragments.entries()) {
    const name = `${page.replaceAll(/[/.]/g, '-')}-${index}.${language}`
    await writeFile(join(folder.path, name), `${code}\nexport {}\n`)
  }
  const paths = {
    'trpc-bearer/verifier': [`${root}server/verifier/index.ts`],
    'trpc-bearer/react': [`${root}client/react/index.ts`],
    'trpc-bearer/*': [`${root}*/index.ts`],
  }
  const compilerOptions = {
    exactOptionalPropertyTypes: true,
    noUnusedLocals: false,
    noUnusedParameters: false,
    paths,
  }
  const config = { extends: `${root}tsconfig.json`, compilerOptions, include: ['*.ts', '*.tsx'] }
  await writeFile(join(folder.path, 'tsconfig.json'), JSON.stringify(config))
  await writeFile(join(folder.path, 'package.json'), '{ "type": "module" }')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { stdout } = await run(process.execPath, [tsc, '-p', folder.path], { cwd: folder.path })
  // The sources of the package are on other paths: npm run check compiles them with their own options.
  expect(stdout.split('\n').filter(line => /^[\w-]+(\.d)?\.tsx?\(/.test(line))).toEqual([])
}, 60_000)
