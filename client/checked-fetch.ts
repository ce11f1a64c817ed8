import { causesOf } from '../shared/error-handling.js'

/**
 * A fetch with helpful errors: the API is not reachable, it redirects, or no tRPC API answers at the URL. It follows no
 * redirects, because they would send the input to another server.
 */
export function checkedFetch(fetch: typeof globalThis.fetch = globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const url = urlOf(input)
    // Without the query: it contains the input.
    const where = `${url.origin}${url.pathname.replace(/[^/]*$/, '')}`
    const causeOf = (error: unknown) => {
      const cause = withoutSecrets(error, [
        tokenOf(init?.headers),
        String(input),
        ...[url.href, url.search, url.searchParams.get('input'), init?.body].flatMap(formsOf),
      ])
      if (init?.signal?.aborted) throw init.signal.reason ?? cause
      return cause
    }
    // 'manual', because Cloudflare Workers do not support 'error'.
    const response = await callFetch(fetch, input, { ...init, redirect: 'manual' }).catch(error => {
      throw new Error(
        `Cannot reach ${where}: check that the API runs and that CORS allows this page to call it.`,
        { cause: causeOf(error) },
      )
    })
    if (isRedirect(response, url)) {
      response.body?.cancel().catch(() => {})
      throw new Error(`${where} redirects: set "url" to the final address of the API.`)
    }
    const type = mediaTypeOf(response)
    if (!type.startsWith('application/json')) throw noAnswerOfTrpc(where, response.status, type)
    const read = response.json.bind(response)
    const json = async () => {
      const value: unknown = await read().catch(error => {
        throw new Error(`The answer of ${where} cannot be read.`, { cause: causeOf(error) })
      })
      const answers = [value].flat()
      if (!answers.every(isAnswerOfTrpc)) throw noAnswerOfTrpc(where, response.status, type)
      if (!answers.every(isOfTransformer)) throw new Error(otherTransformer(where))
      return value
    }
    return Object.defineProperty(response, 'json', { value: json, configurable: true })
  }
}

function urlOf(input: Parameters<typeof globalThis.fetch>[0]): URL {
  const url = String(input instanceof Request ? input.url : input)
  try {
    return new URL(url)
  } catch {
    const path = url.replace(/\?.*$/s, '')
    throw new Error(
      `${path} is a path, which only a page can resolve: on a server give createClient the whole URL.`,
    )
  }
}

interface TrpcAnswer {
  result?: { data?: object | null }
  error?: object | null
}

/** A proxy, or this server while it starts, answers `{ "error": "a text" }`. */
const isAnswerOfTrpc = (value: unknown): value is TrpcAnswer =>
  typeof value === 'object' &&
  value !== null &&
  ('result' in value || ('error' in value && typeof value.error === 'object'))

/** What superjson writes is in `json`. Without it every call would return `undefined`. */
function isOfTransformer({ result, error }: TrpcAnswer): boolean {
  const written = error ?? result?.data
  return typeof written === 'object' && written !== null && 'json' in written
}

const otherTransformer = (where: string) =>
  `The API at ${where} does not use the transformer of trpc-bearer/shared (superjson). Pass it to initTRPC, or make the client from bearerAuth and your own links.`

/** A proxy in front of the API answers with its own page, or its own JSON. The error has the `status`. */
function noAnswerOfTrpc(where: string, status: number, type: string): Error {
  const message =
    status === 413
      ? `The request is too large for ${where} (HTTP 413). The API takes 1 MB at once, and a proxy before it may take less.`
      : status >= 500
        ? `${where} answers HTTP ${status}: the API, or a proxy before it, does not work at the moment.`
        : `No tRPC API answers at ${where} (HTTP ${status}, ${type}): check "url".`
  return Object.assign(new Error(message), { status })
}

/** Async, so that a custom fetch that throws at once is handled like one that rejects. */
async function callFetch(
  fetch: typeof globalThis.fetch,
  ...request: Parameters<typeof fetch>
): Promise<Response> {
  return fetch(...request)
}

/** Only a media type is quoted: the rest of the header may be anything. */
function mediaTypeOf({ headers }: Response): string {
  const [type] = /^[\w.+-]{1,64}\/[\w.+-]{1,64}/.exec(headers.get('content-type') ?? '') ?? []
  return type ?? 'no media type'
}

/** A text as an error may quote it: as it is, decoded, encoded, or in JSON. */
function formsOf(text: unknown): string[] {
  if (typeof text !== 'string') return []
  const forms = [text, encodeURIComponent(text), JSON.stringify(text).slice(1, -1)]
  try {
    return [...forms, decodeURIComponent(text)]
  } catch {
    return forms
  }
}

const tokenOf = (headers: RequestInit['headers']) =>
  new Headers(headers).get('authorization')?.replace(/^Bearer\s+/i, '')

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

/** A copy that is safe to log: the error of a custom fetch may contain the request with its token and its input. */
function withoutSecrets(error: unknown, secrets: readonly (string | undefined)[]): Error | undefined {
  const hide = (text: unknown) =>
    secrets.reduce<string>(
      (shown, secret) => (secret ? shown.replaceAll(secret, '***') : shown),
      String(text).replace(/Bearer\s+\S+/gi, 'Bearer ***'),
    )
  return causesOf(error).reduceRight<Error | undefined>((cause, one) => {
    const copy = new Error(hide(one.message), { cause })
    const code = 'code' in one ? one.code : undefined
    return Object.assign(
      copy,
      { name: hide(one.name) },
      typeof code === 'number' && { code },
      typeof code === 'string' && { code: hide(code) },
    )
  }, undefined)
}
