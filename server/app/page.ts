/** Two commands to copy: the first signs up and gets a token, the second calls `me`. */
function curlCommands(origin: string): [signUp: string, me: string] {
  const person = `{"name":"You","email":"you-'$(date +%s)-$$'@example.com","password":"correct horse battery"}`
  const signUp = [
    `TOKEN=$(curl -s -b '' -o /dev/null -H 'origin: ${origin}' -H 'content-type: application/json'`,
    `-d '${person}' ${origin}/api/auth/sign-up/email --next -s -b '' ${origin}/api/auth/token | cut -d '"' -f 4)`,
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

/** The page at `/`: what runs here and how to try it. */
export function welcomePage(origin: string, issuer: string): string {
  const commands =
    issuer === origin
      ? `<h2>Try it</h2>
<p>Sign up at the Better Auth of this process and get a token:</p>
<pre>${escapeHtml(curlCommands(origin)[0])}</pre>
<p>Call the API with it:</p>
<pre>${escapeHtml(curlCommands(origin)[1])}</pre>
<p>Input and output use superjson's format:</p>
<pre>${escapeHtml(createCommand(origin))}</pre>`
      : `<h2>Try it</h2>
<p>Get a token from <code>${escapeHtml(issuer)}</code> (with Better Auth: <code>(await authClient.token()).data.token</code>) and
call the API with it:</p>
<pre>${escapeHtml(curlCommands(origin)[1])}</pre>
<pre>${escapeHtml(createCommand(origin))}</pre>`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>trpc-bearer</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1f }
pre { background: #f3f3f6; padding: .75rem 1rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
dt { font-family: ui-monospace, monospace } dd { margin: 0 0 .5rem 1.5rem }
</style>
<h1>trpc-bearer</h1>
<p>A tRPC API. It verifies bearer JWTs with the public keys of <code>${escapeHtml(issuer)}</code>, and PostgreSQL shows each
caller only their own rows.</p>
${commands}
<h2>What is here</h2>
<dl>
<dt>/trpc/*</dt><dd>queries: health, me, tasks.list, tasks.get; mutations: tasks.create, tasks.update, tasks.delete,
tasks.clearCompleted</dd>
<dt><a href="/healthz">/healthz</a></dt><dd>alive</dd>
<dt><a href="/readyz">/readyz</a></dt><dd>state of the database and the keys, and what to do</dd>
<dt><a href="/metrics">/metrics</a></dt><dd>Prometheus</dd>
${issuer === origin ? '<dt>/api/auth/*</dt><dd>Better Auth, for trying things out, not for production</dd>' : ''}
</dl>
</html>
`
}
