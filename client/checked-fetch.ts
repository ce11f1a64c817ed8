import { causesOf } from '../shared/error-handling.js'

/**
 * A fetch with helpful errors: the API is not reachable, it redirects, or no tRPC API answers at the URL. It follows no
 * redirects, because they would send the input to another server.
 */
export function checkedFetch(fetch: typeof globalThis.fetch = globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    // Without the query: it contains the input.
    const where = `${url.origin}${url.pathname.replace(/[^/]*$/, '')}`
    // 'manual', because Cloudflare Workers do not support 'error'.
    const response = await fetch(input, { ...init, redirect: 'manual' }).catch(error => {
      const cause = withoutToken(error)
      if (init?.signal?.aborted) throw init.signal.reason ?? cause
      throw new Error(
        `Cannot reach ${where}: check that the API runs and that CORS allows this page to call it.`,
        { cause },
      )
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

/** React Native follows redirects anyway; only the response's `url` shows it. */
function isRedirect({ type, status = 0, redirected, url }: Partial<Response>, asked: URL): boolean {
  if (type === 'opaqueredirect' || (status >= 300 && status < 400)) return true
  if (redirected !== undefined) return redirected
  const answered = withoutHash(url)
  return answered !== undefined && answered !== withoutHash(asked)
}

/** Undefined if it is not a URL. React Native has no `URL.canParse`, and a mocked response may have no `url`. */
function withoutHash(url: unknown): string | undefined {
  try {
    const parsed = new URL(String(url))
    parsed.hash = ''
    return parsed.href
  } catch {
    return undefined
  }
}

/** A copy that is safe to log: the error of a custom fetch may contain the request and its token. */
function withoutToken(error: unknown): Error | undefined {
  return causesOf(error).reduceRight<Error | undefined>((cause, one) => {
    const copy = new Error(String(one.message).replace(/Bearer\s+\S+/gi, 'Bearer ***'), { cause })
    const code = 'code' in one && ['string', 'number'].includes(typeof one.code) ? { code: one.code } : {}
    return Object.assign(copy, { name: String(one.name) }, code)
  }, undefined)
}
