import { type Context, Hono, type Next } from 'hono'
import { cors } from 'hono/cors'
import type { Logger } from 'pino'
import type { OpenDatabase } from '../../db/open-database.js'
import { printable } from '../../shared/text.js'
import { createFetchHandler } from '../http/handlers.js'
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

/** Hono's binding of Node's request: its `url` is the target as it was sent. */
export interface NodeRequest {
  incoming: { url?: string | undefined }
}

/** Everything that `npm start` serves, as a Hono application. */
export function createHost({
  config,
  origin,
  issuer,
  verifier,
  database,
  checkReadiness,
  log,
  auth,
}: HostParts) {
  const metrics = createMetrics({ pool: database.pool, keys: verifier.status })
  const reports = new WeakMap<Request, RequestReport>()
  const trpc = createFetchHandler({
    verifier,
    database,
    ...(auth !== null && { router: pageRouter }),
    onError({ error, requestId, procedure }) {
      const level = error.code === 'INTERNAL_SERVER_ERROR' ? 'error' : 'warn'
      log[level]({ id: requestId, procedure, error: serializeError(error.cause ?? error) }, error.code)
    },
    onAnswer(report) {
      metrics.count(report)
      reports.set(report.request, report)
    },
  })
  // Hono routes by the decoded path, so `/%6detrics` would reach `/metrics` past the rules of a proxy.
  const app = new Hono<{ Bindings: NodeRequest }>({ getPath: request => pathOf(request) ?? '/' })

  app.use(async (c, next) => {
    const started = performance.now()
    await next()
    const report = reports.get(c.req.raw)
    const id = report?.requestId ?? requestIdOf(c.req.raw.headers)
    c.header('x-request-id', id)
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store')
    c.header('vary', [...new Set(c.res.headers.get('vary')?.split(/, */))].join(', ') || undefined)
    log.info({
      id,
      method: c.req.method,
      path: report?.calls.length
        ? `/trpc/${report.calls.map(call => call.procedure)}`
        : knownPath(c.req.path),
      user: report?.userId ? printable(report.userId) : null,
      ...(report?.refusal && { refused: report.refusal }),
      status: c.res.status,
      ms: Math.round((performance.now() - started) * 10) / 10,
    })
  })
  app.use(async (c, next) => {
    if (!isPlainTarget(c.env.incoming.url ?? '', pathOf(c.req.raw) ?? ''))
      return c.json({ error: pathNotPlain }, 400)
    await next()
  })
  if (auth !== null) app.use(onlyLoopbackHosts(config.host))

  app.use(
    '/trpc/*',
    cors({
      origin: config.corsOrigins,
      allowMethods: ['GET', 'POST'],
      exposeHeaders: ['www-authenticate', 'retry-after', 'x-request-id'],
      maxAge: 600,
    }),
  )
  app.all('/trpc/*', c => trpc(c.req.raw))

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
  return app
}

/** An unknown path is not logged, because it may contain a secret such as a reset token. */
function knownPath(path: string): string {
  if (path.startsWith('/api/auth/')) return '/api/auth/*'
  if (path.startsWith('/trpc/')) return '/trpc/*'
  if (path.startsWith('/assets/')) return '/assets/*'
  return ['/', '/healthz', '/readyz', '/metrics'].includes(path) ? path : '(unknown)'
}

/** Prevents DNS rebinding: a website can point its own name at this machine, but its Host header stays that name. */
function onlyLoopbackHosts(host: string) {
  const allowed = new Set(['localhost', '127.0.0.1', '[::1]', new URL(`http://${hostInUrl(host)}`).hostname])
  const isAllowed = (given: string) =>
    URL.canParse(`http://${given}`) && allowed.has(new URL(`http://${given}`).hostname)
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
