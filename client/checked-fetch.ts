/**
 * A fetch whose failures say what to do: an API that cannot be reached, and a URL where no tRPC API answers. Without it the one is
 * "fetch failed", the other a complaint about JSON.
 */
export function checkedFetch(fetch: typeof globalThis.fetch = globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    // Without what was asked: it may hold what a person wrote.
    const where = `${url.origin}${url.pathname.replace(/[^/]*$/, '')}`
    const response = await fetch(input, init).catch(cause => {
      if (init?.signal?.aborted) throw cause
      throw new Error(`Cannot reach ${where}: does the API run, and may this page call it (CORS)?`, { cause })
    })
    const type = response.headers.get('content-type') ?? 'no content'
    if (type.startsWith('application/json') || type.startsWith('application/jsonl')) return response
    throw new Error(`No tRPC API answers at ${where} (HTTP ${response.status}, ${type}): check "url".`)
  }
}
