import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import { type Context, Hono, type Next } from 'hono'
import { NONCE, type SecureHeadersVariables, secureHeaders } from 'hono/secure-headers'

/** Two commands to copy: the first signs up and gets a token, the second calls `me`. */
function curlCommands(origin: string): [signUp: string, me: string] {
  const person = `{"name":"You","email":"you-'$(date +%s)-$$'@example.com","password":"correct horse battery"}`
  const signUp = [
    `TOKEN=$(curl -s -b '' -o /dev/null -H 'origin: ${origin}' -H 'content-type: application/json'`,
    `-d '${person}' ${origin}/api/auth/sign-up/email --next -s -b '' ${origin}/api/auth/token | sed -n 's/^{"token":"\\([^"]*\\).*/\\1/p')`,
  ].join(' ')
  return [signUp, `curl -s -H "Authorization: Bearer $TOKEN" ${origin}/trpc/me`]
}

/** The text in the terminal after the start. */
export function welcomeText(origin: string, { embedded }: { embedded: boolean }): string {
  const [signUp, me] = curlCommands(origin)
  return [
    `trpc-bearer runs at ${origin}, with ${embedded ? 'an embedded PostgreSQL' : 'DATABASE_URL'} and its own Better Auth.`,
    '',
    'Sign up and get a token:',
    `  ${signUp}`,
    'Call the API with it:',
    `  ${me}`,
    '',
  ].join('\n')
}

const createCommand = (origin: string) =>
  `curl -s -H "Authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '{"json":{"title":"Buy milk"}}' ${origin}/trpc/tasks.create`

const escapeHtml = (text: string) => text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)

/** The folder of the built page, for the source and for the package; undefined if the page was not built. */
const findBuiltPage = () =>
  ['../../client/web', '../../dist/client/web']
    .map(path => fileURLToPath(new URL(path, import.meta.url)))
    .find(path => existsSync(join(path, 'assets')))

/** Options of {@link createPage}. */
export interface PageOptions {
  origin: string
  issuer: string
  /** People sign up at the issuer of this process, so the page with the tasks works here. */
  hasOwnIssuer: boolean
}

/** What is served at `/`: the page with the tasks, or what runs here instead. */
export function createPage({ origin, issuer, hasOwnIssuer }: PageOptions) {
  const page = new Hono<{ Variables: SecureHeadersVariables }>()
  const folder = hasOwnIssuer ? findBuiltPage() : undefined
  if (folder === undefined) {
    const contentSecurityPolicy = { defaultSrc: ["'none'"], styleSrc: [NONCE] }
    return page.get('/', secureHeaders({ contentSecurityPolicy }), c =>
      c.html(welcomePage(origin, issuer, c.get('secureHeadersNonce') ?? '')),
    )
  }
  const own = ["'self'"]
  page.use(
    secureHeaders({
      // It would count for every server on localhost.
      strictTransportSecurity: false,
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: own,
        styleSrc: own,
        imgSrc: own,
        connectSrc: own,
        baseUri: ["'none'"],
        formAction: own,
        frameAncestors: ["'none'"],
      },
    }),
  )
  const cached = (value: string) => async (c: Context, next: Next) => {
    await next()
    if (c.res.ok) c.header('cache-control', value)
  }
  const options = { root: folder, precompressed: true }
  page.get('/', cached('no-cache'), serveStatic({ ...options, path: 'index.html' }))
  // Their names change with their content.
  page.get('/assets/*', cached('public, max-age=31536000, immutable'), serveStatic(options))
  return page
}

/** The page if people sign in elsewhere: what runs here and how to try it. */
function welcomePage(origin: string, issuer: string, nonce: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>trpc-bearer</title>
<style nonce="${nonce}">
:root { color-scheme: light dark; background: light-dark(#fbf9f5, #171513); color: light-dark(#211d19, #efe9e0) }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
h1, h2 { font-family: ui-serif, Georgia, serif; line-height: 1.2 } a { color: light-dark(#b23a1e, #ff8f6b) }
pre { background: light-dark(#f2eee6, #211e1b); border-radius: .625rem; padding: .75rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
dt { font-family: ui-monospace, monospace } dd { margin: 0 0 .5rem 1.5rem }
</style>
<h1>trpc-bearer</h1>
<p>A tRPC API. It verifies bearer JWTs with the public keys of <code>${escapeHtml(issuer)}</code>, and PostgreSQL shows each
caller only their own rows.</p>
<h2>Try it</h2>
<p>Get a token from <code>${escapeHtml(issuer)}</code> (with Better Auth: <code>(await authClient.token()).data.token</code>) and
call the API with it:</p>
<pre>${escapeHtml(curlCommands(origin)[1])}</pre>
<pre>${escapeHtml(createCommand(origin))}</pre>
<h2>What is here</h2>
<dl>
<dt>/trpc/*</dt><dd>queries: health, me, tasks.list, tasks.get; mutations: tasks.create, tasks.update, tasks.delete,
tasks.clearCompleted</dd>
<dt><a href="/healthz">/healthz</a></dt><dd>alive</dd>
<dt><a href="/readyz">/readyz</a></dt><dd>state of the database and the keys, and what to do</dd>
<dt><a href="/metrics">/metrics</a></dt><dd>Prometheus</dd>
</dl>
</html>
`
}
