import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startIssuer } from '../test/parts/issuer.js'
import { freePort } from '../test/parts/listen.js'
import { benchDatabase, requireDatabaseUrl } from './bench-database.js'

/**
 * Prints how the built server answers 2,000 connections at once with a pool of 10: on a healthy database, while a lock stops every
 * statement, and after it. Fails if an answer is none of 200, 503 with Retry-After, and 504. Needs Linux, for the memory.
 * DATABASE_URL is a PostgreSQL over TCP whose login may create databases. CONNECTIONS and PHASE_SECONDS can be set.
 */
const { CONNECTIONS = '2000', PHASE_SECONDS = '20' } = process.env
const connections = Number(CONNECTIONS)
const input = encodeURIComponent(JSON.stringify({ json: { limit: 20 } }))
const phaseMs = Number(PHASE_SECONDS) * 1000

await using database = await benchDatabase(requireDatabaseUrl())
await using issuer = await startIssuer()
const server = await startServer(database.url, issuer.url)
try {
  const tokens = await Promise.all(Array.from({ length: 200 }, (_, n) => issuer.tokenFor(`user-${n}`)))
  const table: Record<string, object> = {}
  const load = async (phase: string) => {
    table[phase] = await runPhase(server, tokens)
  }
  const before = await memoryOf(server.child)
  await load('healthy')
  const locker = new pg.Client({ connectionString: database.url })
  await locker.connect()
  await locker.query('begin')
  await locker.query('lock table tasks in access exclusive mode')
  await load('every statement waits for a lock')
  await locker.query('rollback')
  await locker.end()
  const recovery = await timeToRecover(server.url, tokens[0] ?? '')
  await load('after it')
  console.table(table)
  await sleep(5_000)
  console.log(`First answer after the lock: ${recovery} ms.`)
  console.log(`Memory, MB: ${before} before, ${await memoryOf(server.child)} five seconds after.`)
} finally {
  server.child.kill('SIGTERM')
  await once(server.child, 'exit')
}

interface Server {
  url: string
  child: ChildProcess
}

async function startServer(databaseUrl: string, issuerUrl: string): Promise<Server> {
  const port = await freePort()
  const env = {
    ...process.env,
    NODE_ENV: 'production',
    PORT: String(port),
    DATABASE_URL: databaseUrl,
    BETTER_AUTH_URL: issuerUrl,
    DATABASE_POOL_MAX: '10',
    LOG_LEVEL: 'warn',
  }
  const child = spawn(process.execPath, ['dist/server/main.js'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  // Expected under load. Printed once each.
  const printed = new Set<unknown>()
  createInterface(child.stdout).on('line', line => {
    const { msg } = JSON.parse(line)
    if (!printed.has(msg)) console.log(line.slice(0, 300))
    printed.add(msg)
  })
  const server = { url: `http://127.0.0.1:${port}`, child }
  for (;;) {
    const { ok } = await fetch(`${server.url}/readyz`).catch(() => ({ ok: false }))
    if (ok) return server
    if (child.exitCode !== null) throw new Error('The server has not started.')
    await sleep(100)
  }
}

/** Each connection sends one call after the other. */
async function runPhase({ url, child }: Server, tokens: readonly string[]) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const counts: Record<string, number> = {}
  const times: number[] = []
  const endsAt = performance.now() + phaseMs
  let peak = 0
  const watch = setInterval(async () => {
    peak = Math.max(peak, await memoryOf(child))
  }, 500)
  const connection = async (_: unknown, n: number) => {
    while (performance.now() < endsAt) {
      const startedAt = performance.now()
      const answer = await call(url, agent, tokens[n % tokens.length] ?? '')
      times.push(performance.now() - startedAt)
      counts[answer] = (counts[answer] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: connections }, connection))
  clearInterval(watch)
  agent.destroy()
  const others = Object.keys(counts).filter(answer => !['200', '503, Retry-After', '504'].includes(answer))
  if (others.length > 0) throw new Error(`Wrong answers: ${others.join(', ')}`)
  times.sort((a, b) => a - b)
  const at = (part: number) => Math.round(times[Math.floor((times.length - 1) * part)] ?? 0)
  return { ...counts, 'median, ms': at(0.5), '99 %, ms': at(0.99), 'longest, ms': at(1), 'peak, MB': peak }
}

/** Status of one call, and whether it says when to try again. */
function call(url: string, agent: Agent, token: string): Promise<string> {
  return new Promise(done => {
    const headers = { authorization: `Bearer ${token}` }
    request(`${url}/trpc/tasks.list?input=${input}`, { agent, headers }, response => {
      response.resume()
      response.once('end', () =>
        done(`${response.statusCode}${response.headers['retry-after'] ? ', Retry-After' : ''}`),
      )
    })
      .once('error', error => done(`error ${'code' in error ? error.code : error.message}`))
      .end()
  })
}

async function timeToRecover(url: string, token: string): Promise<number> {
  const startedAt = performance.now()
  const agent = new Agent()
  while ((await call(url, agent, token)) !== '200') await sleep(20)
  return Math.round(performance.now() - startedAt)
}

/** Resident memory, in MB. */
async function memoryOf({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024)
}
