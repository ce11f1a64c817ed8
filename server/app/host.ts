import type { IncomingMessage, RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { type Context, Hono, type Next } from 'hono'
import { cors } from 'hono/cors'
import type { Logger } from 'pino'
import type { OpenDatabase } from '../../db/open-database.js'
import { printable } from '../../shared/text.js'
import { createDirectEndpoint } from '../http/direct/endpoint.js'
import { settingsOf } from '../http/exchange.js'
import { createFetchEndpoint } from '../http/fetch-endpoint.js'
import type { RequestReport } from '../http/request-report.js'
import { isPlainTarget, pathNotPlain, pathOf, requestIdOf } from '../http/request-target.js'
import { serializeError } from '../http/serialize-error.js'
import type { Verifier } from '../verifier/create-verifier.js'
import { type Config, hostInUrl } from './config.js'
import { createMetrics } from './metrics.js'
import { createPage } from './page.js'
import { pageRouter } from './page-router.js'
import type { Readiness } from './readiness.js'

/** The parts of {@link createHost}. */
export interface HostParts {
  config: Pick<Config, 'corsOrigins' | 'host'>
  origin: string
  issuer: string
  verifier: Verifier
  database: OpenDatabase
  checkReadiness: () => Promise<Readiness>
  log: Logger
  /** Fetch handler of the in-process issuer; null if the issuer is remote. */
  auth: ((request: Request) => Promise<Response>) | null
}

interface HonoTypes {
  /** Its `url` is the target as it was sent. */
  Bindings: { incoming: IncomingMessage }
  Variables: { logged: boolean }
}

const exposedHeaders = ['www-authenticate', 'retry-after', 'x-request-id']

/**
 * Everything that `npm start` serves: the usual calls of the API directly, and the rest as a Hono application.
 */
export function createHost({
  config,
  origin,
  issuer,
  verifier,
  database,
  checkReadiness,
  log,
  auth,
}: HostParts): RequestListener {
  const metrics = createMetrics({ pool: database.pool, keys: verifier.status })
  const settings = settingsOf({
    verifier,
    database,
    ...(auth !== null && { router: pageRouter }),
    onError({ error, requestId, procedure }) {
      const level = error.code === 'INTERNAL_SERVER_ERROR' ? 'error' : 'warn'
      log[level]({ id: requestId, procedure, error: serializeError(error.cause ?? error) }, error.code)
    },
    onAnswer(report) {
      metrics.count(report)
      if (log.isLevelEnabled('info')) logCalls(log, report)
    },
  })
  const trpc = createFetchEndpoint(settings)
  // Hono routes by the decoded path, so `/%6detrics` would reach `/metrics` past the rules of a proxy.
  const app = new Hono<HonoTypes>({ getPath: request => pathOf(request) ?? '/' })

  app.use(async (c, next) => {
    const started = performance.now()
    await next()
    const id = c.res.headers.get('x-request-id') ?? requestIdOf(c.req.header('x-request-id'))
    c.header('x-request-id', id)
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store')
    c.header('vary', [...new Set(c.res.headers.get('vary')?.split(/, */))].join(', ') || undefined)
    if (c.get('logged')) return
    const { method, path } = c.req
    const ms = performance.now() - started
    logRequest(log, { id, method, path: knownPath(path), user: null, status: c.res.status, ms })
  })
  app.use(async (c, next) => {
    if (!isPlainTarget(c.env.incoming.url ?? '', pathOf(c.req.raw) ?? ''))
      return c.json({ error: pathNotPlain }, 400)
    await next()
  })
  const isAllowedHost = auth === null ? () => true : isLoopbackHost(config.host)
  if (auth !== null) app.use(onlyAllowedHosts(isAllowedHost, config.host))

  app.options('*', warnOfOtherOrigins([origin, ...config.corsOrigins], log))
  app.use(
    '/trpc/*',
    cors({
      origin: config.corsOrigins,
      allowMethods: ['GET', 'POST'],
      exposeHeaders: exposedHeaders,
      maxAge: 600,
    }),
  )
  app.all('/trpc/*', c => {
    c.set('logged', true)
    return trpc(c.req.raw)
  })

  if (auth !== null) {
    app.use(
      '/api/auth/*',
      cors({
        origin: config.corsOrigins,
        exposeHeaders: ['set-auth-token'],
        credentials: true,
      }),
    )
    app.all('/api/auth/*', c => auth(c.req.raw))
  }

  app.get('/healthz', c => c.text('ok\n'))
  app.get('/readyz', async c => {
    const { ready, ...parts } = await checkReadiness()
    return c.json({ ready, ...parts, keySet: verifier.status() }, ready ? 200 : 503)
  })
  app.get('/metrics', async c => c.body(await metrics.text(), 200, { 'content-type': metrics.contentType }))
  app.route('/', createPage({ origin, issuer, hasOwnIssuer: auth !== null }))
  app.notFound(c => c.text('Nothing at this path. The API is under /trpc.\n', 404))
  app.onError((error, c) => {
    log.error({ error: serializeError(error) }, 'unexpected error')
    return c.json({ error: 'Something went wrong on the server.' }, 500)
  })
  // For HTTP/1.0, where a request needs no Host.
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false, hostname: 'localhost' })
  const direct = createDirectEndpoint(settings)
  return (req, res) => {
    const isDirect =
      req.url?.startsWith('/trpc/') &&
      isAllowedHost(req.headers.host) &&
      direct(req, res, corsHeaders(req, config.corsOrigins))
    if (!isDirect) listener(req, res)
  }
}

const maxWarnings = 10

/** A browser tells its page only that the fetch failed. */
function warnOfOtherOrigins(origins: readonly string[], log: Logger) {
  const warned = new Set<string>()
  return async ({ req }: Context, next: Next) => {
    const origin = req.header('origin')
    const isKnown = origin === undefined || origins.includes(origin) || warned.has(origin)
    if (!isKnown && warned.size < maxWarnings) {
      warned.add(origin)
      log.warn(
        { origin: printable(origin) },
        'A page of another origin calls: its browser refuses that, unless CORS_ORIGINS has the origin.',
      )
    }
    await next()
  }
}

/** As Hono's `cors` sets them. */
function corsHeaders({ headers: { origin } }: IncomingMessage, origins: readonly string[]) {
  const isAllowed = origin !== undefined && origins.includes(origin)
  return {
    'access-control-expose-headers': exposedHeaders.join(),
    ...(isAllowed && { 'access-control-allow-origin': origin }),
  }
}

function logCalls(
  log: Logger,
  { requestId, method, calls, userId, refusal, status, duration }: RequestReport,
) {
  logRequest(log, {
    id: requestId,
    method,
    path: calls.length > 0 ? `/trpc/${calls.map(({ procedure }) => procedure)}` : '/trpc/*',
    user: userId === null ? null : printable(userId),
    ...(refusal && { refused: refusal }),
    status,
    ms: duration * 1_000,
  })
}

/** One line for each request. */
function logRequest(
  log: Logger,
  {
    ms,
    ...line
  }: { id: string; method: string; path: string; user: string | null; status: number; ms: number },
) {
  log.info({ ...line, ms: Math.round(ms * 10) / 10 })
}

/** An unknown path is not logged, because it may contain a secret such as a reset token. */
function knownPath(path: string): string {
  if (path.startsWith('/api/auth/')) return '/api/auth/*'
  if (path.startsWith('/trpc/')) return '/trpc/*'
  if (path.startsWith('/assets/')) return '/assets/*'
  return ['/', '/healthz', '/readyz', '/metrics'].includes(path) ? path : '(unknown)'
}

/** Prevents DNS rebinding: a website can point its own name at this machine, but its Host header stays that name. */
function isLoopbackHost(host: string) {
  const allowed = new Set(['localhost', '127.0.0.1', '[::1]', new URL(`http://${hostInUrl(host)}`).hostname])
  return (given = '') => URL.canParse(`http://${given}`) && allowed.has(new URL(`http://${given}`).hostname)
}

function onlyAllowedHosts(isAllowed: (given: string) => boolean, host: string) {
  return async ({ req }: Context, next: Next) => {
    // An absolute request target has a host too, which wins over the Host header (RFC 9112 section 3.2.2).
    const { host: targetHost } = new URL(req.url)
    if (![targetHost, req.header('host') ?? targetHost].every(isAllowed)) {
      const error = `The Host header is not allowed. With the in-process issuer use a loopback name or HOST (${host}).`
      return Response.json({ error }, { status: 403 })
    }
    await next()
  }
}
