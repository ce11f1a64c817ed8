/**
 * A fetch whose failures say what to do: an API that cannot be reached, one that redirects, and a URL where no tRPC API answers. It
 * follows no redirect, which would take the input to another server and let that one answer.
 */
export function checkedFetch(fetch: typeof globalThis.fetch = globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    // Without what was asked: it may hold what a person wrote.
    const where = `${url.origin}${url.pathname.replace(/[^/]*$/, '')}`
    // Not 'error', which Cloudflare Workers refuse.
    const response = await fetch(input, { ...init, redirect: 'manual' }).catch(cause => {
      if (init?.signal?.aborted) throw cause
      throw new Error(`Cannot reach ${where}: does the API run, and may this page call it (CORS)?`, { cause })
    })
    if (isRedirect(response, url)) {
      response.body?.cancel().catch(() => {})
      throw new Error(`${where} redirects: set "url" to the final address of the API.`)
    }
    const type = response.headers.get('content-type') ?? 'no content'
    if (type.startsWith('application/json') || type.startsWith('application/jsonl')) return response
    throw new Error(`No tRPC API answers at ${where} (HTTP ${response.status}, ${type}): check "url".`)
  }
}

/** Also one that the runtime has followed all the same: React Native does, and shows it by the response's `url` alone. */
function isRedirect({ type, status, redirected, url }: Response, asked: URL): boolean {
  if (type === 'opaqueredirect' || (status >= 300 && status < 400)) return true
  return redirected ?? (url !== '' && new URL(url).origin !== asked.origin)
}
