#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Config, readConfig } from '../app/config.js'
import { CommandError, runCommand } from './command.js'

interface Command {
  summary: string
  help: string
  /** What it needs beside the package. */
  packages(config: Config): string[]
  load(): Promise<() => Promise<void>>
}

const database = ['kysely', 'pg', '@trpc/server']
const embedded = ['@electric-sql/pglite', '@electric-sql/pglite-socket'] as const

const embeddedHint =
  'The last two are the embedded database. With DATABASE_URL and BETTER_AUTH_URL they are not needed.'

const commands: Record<string, Command> = {
  start: {
    summary: 'runs the API, with a database and a Better Auth of its own if none is set',
    help: `The API answers at /trpc, and / is a page about it. It runs until SIGTERM or SIGINT.

  PORT, HOST        where it listens: 4000, 127.0.0.1
  DATABASE_URL      your PostgreSQL. Not set: an embedded one in DATA_DIR (.data)
  BETTER_AUTH_URL   your Better Auth. Not set: one in this process
  CORS_ORIGINS      the origins of the pages that may call it, with commas between`,
    packages({ issuer, databaseUrl }) {
      const server = ['hono', '@hono/node-server', 'pino', 'prom-client']
      // The issuer of this process keeps its users in the embedded database.
      if (issuer.kind === 'in-process') return [...database, ...server, 'better-auth', ...embedded]
      return [...database, ...server, ...(databaseUrl === undefined ? embedded : [])]
    },
    load: async () => (await import('./start.js')).start,
  },
  migrate: {
    summary: 'prepares the database: the isolation, and the table of the tasks',
    help: `It is safe to run again, and on many machines at once.

  DATABASE_URL             the database and the login of the server
  MIGRATION_DATABASE_URL   the login that owns the tables, if it is another one
  DATABASE_ROLE            the role that statements of callers run as: app_user
  FENCE_SECRET             signs the ids of callers: the level signed`,
    packages: ({ databaseUrl, migrationDatabaseUrl }) => [
      ...database,
      ...((databaseUrl ?? migrationDatabaseUrl) === undefined ? embedded : []),
    ],
    load: async () => (await import('./migrate.js')).migrate,
  },
  fence: {
    summary: 'checks that the database keeps users apart, and prints the SQL for each gap',
    help: `It exits with 1 if there is a gap.

  DATABASE_URL    the database and the login of the server
  DATABASE_ROLE   the role that statements of callers run as: app_user
  FENCE_SECRET    the secret of the server, for the level signed`,
    packages: ({ databaseUrl }) => [...database, ...(databaseUrl === undefined ? embedded : [])],
    load: async () => (await import('./fence.js')).fence,
  },
}

const usage = `trpc-bearer <command>

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}`)
  .join('\n')}

trpc-bearer <command> --help lists its variables. They are read from the environment and from .env in this folder.
docs/configuration.md in the package explains all of them.`

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } },
    })
  } catch {
    // Node's message shows the option, which may be a URL with a password.
    throw new CommandError(`The only options are --help and --version.\n\n${usage}`)
  }
}

/** An argument that may be a URL with a password is not shown. */
const shown = (argument: string) => (/^[\w.-]+$/.test(argument) ? argument : '(not shown)')

const { version, peerDependencies } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
)

/** With the newest range that the package accepts, because npm refuses another one. */
function missing(packages: readonly string[]): string[] {
  return packages.filter(isMissing).map(name => {
    const range: string = peerDependencies[name].split('||').at(-1).trim()
    return range === '*' ? name : `${name}@${range}`
  })
}

function isMissing(name: string): boolean {
  try {
    import.meta.resolve(name)
    return false
  } catch {
    return true
  }
}

await runCommand(async () => {
  const { positionals, values } = parse()
  const [name, ...rest] = positionals
  if (values.version) return console.log(version)
  if (name === undefined) return console.log(usage)
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) throw new CommandError(`There is no command ${shown(name)}.\n\n${usage}`)
  if (values.help) return console.log(`trpc-bearer ${name}: ${command.summary}.\n\n${command.help}`)
  if (rest.length > 0) throw new CommandError(`${name} takes no arguments: ${rest.map(shown).join(' ')}`)
  const needed = missing(command.packages(readConfig()))
  if (needed.length > 0)
    throw new CommandError(
      `trpc-bearer ${name} needs packages that are not installed: npm install ${needed.join(' ')}${
        needed.some(one => one.startsWith(embedded[0])) ? `. ${embeddedHint}` : ''
      }`,
    )
  const run = await command.load()
  await run()
})
