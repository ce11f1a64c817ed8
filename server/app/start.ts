import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAdaptorServer } from '@hono/node-server'
import type { Logger } from 'pino'
import { type OpenDatabase, openDatabase } from '../../db/open-database.js'
import { createVerifier, type Verifier } from '../verifier/create-verifier.js'
import { startIssuer } from './better-auth.js'
import { assertNotExposed, type Config, hostInUrl } from './config.js'
import { createHost, type NodeRequest } from './host.js'
import { createLog, problemLogger } from './log.js'
import { checkReadiness } from './readiness.js'

/** The port cannot be had. */
export class PortError extends Error {
  override name = 'PortError'
}

/** A server that runs. */
export interface RunningServer {
  /** Where it is reached, such as `http://127.0.0.1:4000`. */
  url: string
  /** Stops accepting, finishes what runs (10 seconds at most), closes the database. */
  close(): Promise<void>
}

type FetchHandler = (request: Request, node: NodeRequest) => Response | Promise<Response>

const stopWithin = 10_000

/** {@link startServer}, with all that it needs of Node. */
export async function start(config: Config): Promise<RunningServer> {
  assertNotExposed(config)
  const log = createLog(config.logLevel)
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
    onProblem: problemLogger(log),
  })
  const stops = [database.close]
  let handle: FetchHandler = () => Response.json({ error: 'Starting.' }, { status: 503 })
  const server = createAdaptorServer({
    fetch: (request, node) => handle(request, node),
    overrideGlobalObjects: false,
    serverOptions: { headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 1_000 },
  }) as Server
  // Every header counts, up to Node's limit of bytes: the default drops a second Authorization behind a thousand others.
  server.maxHeadersCount = 0
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  try {
    const url = await listen(server, config)
    stops.unshift(() => closeServer(server, sockets))
    const { issuer, audience, jwksUrl } = config.issuer.kind === 'remote' ? config.issuer : issuerAt(url)
    const auth = config.issuer.kind === 'remote' ? null : await startOwnIssuer(config, database, url, stops)
    const verifier = createVerifier({
      issuer,
      audience,
      jwksUrl,
      allowHttp: config.jwksAllowHttp || auth !== null,
      onProblem: problemLogger(log),
    })
    handle = createHost({ config, origin: url, issuer, verifier, database, log, auth }).fetch
    lookAhead({ verifier, database, production: config.production }, log)
    if (auth === null) log.info({ url, issuer }, 'listening')
    let closing: Promise<void> | undefined
    return {
      url,
      close() {
        closing ??= Promise.race([runAll(stops), sleep(stopWithin, undefined, { ref: false })])
        return closing
      },
    }
  } catch (error) {
    await runAll(stops)
    throw error
  }
}

async function runAll(stops: readonly (() => Promise<void>)[]): Promise<void> {
  for (const stop of stops) await stop()
}

async function listen(server: Server, { port, host }: Config): Promise<string> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail).listen(port, host, done)
  }).catch(cause => {
    const why = cause.code === 'EADDRINUSE' ? 'is in use' : `cannot be had (${cause.code})`
    throw new PortError(`Port ${port} on ${host} ${why}: set PORT or HOST to another.`, { cause })
  })
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  return `http://${nameInUrl(host)}:${bound}`
}

function nameInUrl(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return hostInUrl(host)
}

const issuerAt = (url: string) => ({ issuer: url, audience: url, jwksUrl: `${url}/api/auth/jwks` })

/** Its users and keys are in the embedded database, whatever database the tasks are in. */
async function startOwnIssuer(
  config: Config,
  database: OpenDatabase,
  url: string,
  stops: (() => Promise<void>)[],
) {
  const own = config.databaseUrl === undefined ? database : await openDatabase({ dataDir: config.dataDir })
  if (own !== database) stops.push(own.close)
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

/** So that the first caller need not wait, and whoever starts it reads at once what is away or missing. */
function lookAhead(
  { production, ...parts }: { verifier: Verifier; database: OpenDatabase; production: boolean },
  log: Logger,
): void {
  const onProblem = problemLogger(log)
  checkReadiness({ ...parts, onProblem }).then(
    ({ ready, ...states }) => {
      if (!ready) log.warn(states, 'not ready')
      if (production && states.fence === 'plain') {
        log.warn(
          'The fence is plain: SQL that somebody injects can change the identity. See DATABASE_FENCE in the README.',
        )
      }
    },
    onProblem.bind(null, 'not ready'),
  )
}

function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise(done => {
    const sweep = setInterval(() => {
      server.closeIdleConnections()
      // Node does not count as idle what has never sent a byte, such as a browser's connection in advance.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    }, 100)
    const force = setTimeout(() => server.closeAllConnections(), stopWithin - 1_000)
    server.close(() => {
      clearInterval(sweep)
      clearTimeout(force)
      done()
    })
  })
}
