import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { migrateTasks } from '../../db/migrations/migrator.js'
import { type OpenDatabase, openDatabase } from '../../db/open-database.js'
import { createVerifier } from '../verifier/create-verifier.js'
import { startIssuer } from './better-auth.js'
import { assertNotExposed, type Config, hostInUrl } from './config.js'
import { createHost } from './host.js'
import { createLog, problemLogger } from './log.js'
import { createReadiness, type Readiness } from './readiness.js'

/** The server cannot listen on its port. */
export class PortError extends Error {
  override name = 'PortError'
}

/** A running server. */
export interface RunningServer {
  /** Its URL, such as `http://localhost:4000`. */
  url: string
  /** Stops accepting requests, finishes the running ones (at most 10 seconds) and closes the database. */
  close(): Promise<void>
}

const stopTimeoutMs = 10_000
/** Connections of a burst that wait to be accepted. With Node's 511 the system drops the others. The system may limit it further. */
const backlog = 4_096

/** `startServer` in `server/index.ts`, in its own file because it needs Node. */
export async function start(config: Config): Promise<RunningServer> {
  assertNotExposed(config)
  const log = createLog(config.logLevel)
  const problems = log.child({})
  const onProblem = problemLogger(problems)
  const database = await openDatabase({
    url: config.databaseUrl,
    dataDir: config.dataDir,
    role: config.databaseRole,
    poolMax: config.databasePoolMax,
    connectTimeout: config.databaseConnectTimeout,
    statementTimeout: config.statementTimeout,
    preparedStatements: config.preparedStatements,
    fenceSecret: config.fenceSecret,
    requiredFence: config.databaseFence,
    onProblem,
  })
  const closers = [database.close]
  let handle: RequestListener = (_, res) => {
    res
      .writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' })
      .end('{"error":"Starting."}')
  }
  const timeouts = {
    headersTimeout: 10_000,
    requestTimeout: 15_000,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: config.keepAliveTimeout * 1_000,
  }
  const server = createHttpServer(timeouts, (req, res) => handle(req, res))
  // An answer that nobody reads stays in memory. Node allows the double for one that was being sent.
  server.timeout = (config.databaseConnectTimeout + config.statementTimeout + 10) * 1_000
  // By default Node 20 drops the headers after the first thousand, which could hide a second Authorization header.
  server.maxHeadersCount = 0
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  try {
    if (config.databaseUrl === undefined) await migrateTasks(database.admin)
    const url = await listen(server, config)
    closers.unshift(() => closeServer(server, sockets))
    const { issuer, audience, jwksUrl } =
      config.issuer.kind === 'remote' ? config.issuer : issuerAt(url, config)
    const auth = config.issuer.kind === 'remote' ? null : await startOwnIssuer(config, database, url, closers)
    const verifier = createVerifier({
      issuer,
      audience,
      jwksUrl,
      clockTolerance: config.clockTolerance,
      allowHttp: config.jwksAllowHttp || auth !== null,
      onProblem,
    })
    const checkReadiness = createReadiness({ database, verifier, jwksUrl, onProblem })
    const parts = { config, origin: url, issuer, verifier, database, checkReadiness, log, auth }
    handle = createHost(parts)
    logReadiness(checkReadiness, { production: config.production, log: problems })
    if (auth === null) log.info({ url, issuer }, 'listening')
    let closing: Promise<void> | undefined
    return {
      url,
      close() {
        // A check that still runs fails because everything closes. That is no problem to report.
        problems.level = 'silent'
        closing ??= Promise.race([closeAll(closers), sleep(stopTimeoutMs, undefined, { ref: false })])
        return closing
      },
    }
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}

async function closeAll(closers: readonly (() => Promise<void>)[]): Promise<void> {
  for (const close of closers) await close()
}

async function listen(server: Server, { port, host }: Config): Promise<string> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail).listen(port, host, backlog, done)
  }).catch(cause => {
    const problem = cause.code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${cause.code})`
    throw new PortError(`Port ${port} on ${host} ${problem}: set PORT or HOST to another.`, { cause })
  })
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  const isLocal = host === '127.0.0.1' && (await isTaken('::1', bound))
  return `http://${isLocal ? host : reachableHost(host)}:${bound}`
}

/** Whether another program listens there: `localhost` may lead to it. */
async function isTaken(host: string, port: number): Promise<boolean> {
  const probe = createServer()
  try {
    await new Promise<void>((done, fail) => probe.once('error', fail).listen(port, host, done))
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
  } finally {
    probe.close()
  }
}

function reachableHost(host: string): string {
  // A page of a development server runs on localhost: a cookie of 127.0.0.1 would be one of another site.
  if (host === '0.0.0.0' || host === '127.0.0.1') return 'localhost'
  if (host === '::') return '[::1]'
  return hostInUrl(host)
}

/** The keys are fetched from the address itself, because on the other address of localhost another program may listen. */
function issuerAt(url: string, { host }: Config) {
  const { port } = new URL(url)
  return { issuer: url, audience: url, jwksUrl: `http://${hostInUrl(host)}:${port}/api/auth/jwks` }
}

/** Its users and keys are in the embedded database, even if the tasks are in another. */
async function startOwnIssuer(
  config: Config,
  database: OpenDatabase,
  url: string,
  closers: (() => Promise<void>)[],
) {
  const own = config.databaseUrl === undefined ? database : await openDatabase({ dataDir: config.dataDir })
  if (own !== database) closers.push(own.close)
  const { port } = new URL(url)
  return startIssuer({
    db: own.admin,
    dataDir: config.dataDir,
    origin: url,
    trustedOrigins: [
      ...['localhost', '127.0.0.1', '[::1]'].map(name => `http://${name}:${port}`),
      ...config.corsOrigins,
    ],
  })
}

/** Fetches the keys before the first call, and logs at start what is not ready. */
function logReadiness(
  checkReadiness: () => Promise<Readiness>,
  { production, log }: { production: boolean; log: Logger },
): void {
  checkReadiness().then(
    ({ ready, ...states }) => {
      if (!ready) log.warn(states, 'not ready')
      if (production && states.fence === 'plain') {
        log.warn(
          'The level of isolation is plain: injected SQL can change the identity. See DATABASE_FENCE in docs/configuration.md.',
        )
      }
    },
    problemLogger(log).bind(null, 'not ready'),
  )
}

function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise(done => {
    const closeIdle = setInterval(() => {
      server.closeIdleConnections()
      // For Node a connection that never sent a byte is not idle; browsers open such connections in advance.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    }, 100)
    const force = setTimeout(() => server.closeAllConnections(), stopTimeoutMs - 1_000)
    server.close(() => {
      clearInterval(closeIdle)
      clearTimeout(force)
      done()
    })
  })
}
