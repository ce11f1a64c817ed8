import { causesOf } from '../shared/causes.js'

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
    const response = await fetch(input, { ...init, redirect: 'manual' }).catch(error => {
      const cause = withoutRequest(error)
      if (init?.signal?.aborted) throw init.signal.reason ?? cause
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
function isRedirect({ type, status = 0, redirected, url }: Partial<Response>, asked: URL): boolean {
  if (type === 'opaqueredirect' || (status >= 300 && status < 400)) return true
  if (redirected !== undefined) return redirected
  const answered = withoutHash(url)
  return answered !== undefined && answered !== withoutHash(asked)
}

/** Undefined where it cannot be told: React Native's URL has no `canParse`, and the response of a mock may have no `url`. */
function withoutHash(url: unknown): string | undefined {
  try {
    const parsed = new URL(String(url))
    parsed.hash = ''
    return parsed.href
  } catch {
    return undefined
  }
}

/** An error of fetch as a log may have it: one that somebody's own fetch throws may carry the request, and the token with it. */
function withoutRequest(error: unknown): Error | undefined {
  return causesOf(error).reduceRight<Error | undefined>((cause, one) => {
    const copy = new Error(String(one.message).replace(/Bearer\s+\S+/gi, 'Bearer ***'), { cause })
    const code = 'code' in one && ['string', 'number'].includes(typeof one.code) ? { code: one.code } : {}
    return Object.assign(copy, { name: String(one.name) }, code)
  }, undefined)
}
