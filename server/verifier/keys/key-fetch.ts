import { printable } from '../../../shared/text.js'
import { urlForLog } from './safe-url.js'
import { PrivateKeyError, readSigningKeys, type SigningKey } from './signing-keys.js'

/** Why the keys could not be fetched, in a word that contains nothing secret. */
export type KeyProblem = 'unreachable' | 'timeout' | `status_${number}` | 'invalid' | 'no_keys'

/** An answer of the issuer that is not accepted. The message names the URL, and never quotes keys. */
export class KeyFetchError extends Error {
  override name = 'KeyFetchError'

  constructor(
    readonly problem: KeyProblem,
    message: string,
    readonly details: {
      cause?: unknown
      /** Milliseconds, from the issuer's Retry-After header. */
      retryAfter?: number | undefined
    } = {},
  ) {
    super(printable(message), { cause: details.cause })
  }
}

/** What every fetch needs. */
export interface FetchContext {
  fetch: typeof globalThis.fetch
  /** Milliseconds since the epoch. */
  now: () => number
  signal: AbortSignal
}

/** The keys that the issuer publishes. */
export interface FetchedKeys {
  keys: SigningKey[]
  /** Milliseconds until they are stale. */
  freshFor: number
}

/** Milliseconds for all requests of one fetch together. */
export const fetchTimeout = 3_000
const maxBytes = 256 * 1024
const maxKeys = 100
const defaultFreshness = 5 * 60_000
const minFreshness = 60_000
const maxFreshness = 15 * 60_000

/**
 * Fetches a key set. The answer must be a 200 without a redirect, complete within the timeout, with at most 256 kB and 100 keys, and at
 * least one key that can verify.
 *
 * @throws KeyFetchError, with `no_keys` for an empty set: some issuers make their first key when they first sign
 */
export async function fetchKeys(url: URL, context: FetchContext): Promise<FetchedKeys> {
  const place = urlForLog(url)
  const { value, headers } = await fetchJson(url, context)
  const list = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : undefined
  if (!Array.isArray(list)) throw new KeyFetchError('invalid', `The answer from ${place} is not a key set.`)
  if (list.length === 0) throw new KeyFetchError('no_keys', `The key set at ${place} has no keys.`)
  if (list.length > maxKeys)
    throw new KeyFetchError('invalid', `The key set at ${place} has more than ${maxKeys} keys.`)
  const keys = await readSigningKeys(list).catch(cause => {
    if (!(cause instanceof PrivateKeyError)) throw cause
    throw new KeyFetchError('invalid', `The key set at ${place} is refused. ${cause.message}`, { cause })
  })
  if (keys.length === 0)
    throw new KeyFetchError('invalid', `The key set at ${place} has no key that can verify a token.`)
  return { keys, freshFor: freshnessOf(headers) }
}

/**
 * Fetches JSON from the issuer, within the same limits.
 *
 * @throws KeyFetchError
 */
export async function fetchJson(
  url: URL,
  { fetch, now, signal }: FetchContext,
): Promise<{ value: unknown; headers: Headers }> {
  const place = urlForLog(url)
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json' },
      redirect: 'manual',
      signal,
    })
    const { headers, status, redirected } = response
    if (redirected || status !== 200) {
      response.body?.cancel().catch(() => {})
      const what = redirected
        ? 'redirects, and the fetch option followed. It must not follow redirects'
        : `answered with status ${status}`
      throw new KeyFetchError(redirected ? 'invalid' : `status_${status}`, `${place} ${what}.`, {
        retryAfter: retryAfterOf(headers, now()),
      })
    }
    return { value: JSON.parse(await limitedText(response, place)), headers }
  } catch (cause) {
    if (cause instanceof KeyFetchError) throw cause
    // Without its cause, which quotes the answer.
    if (cause instanceof SyntaxError)
      throw new KeyFetchError('invalid', `The answer from ${place} is not JSON.`)
    if (signal.aborted)
      throw new KeyFetchError('timeout', `${place} did not answer within ${fetchTimeout / 1000} s.`, {
        cause,
      })
    throw new KeyFetchError('unreachable', `${place} cannot be reached.`, { cause })
  }
}

async function limitedText(response: Response, place: string): Promise<string> {
  const decoder = new TextDecoder()
  const reader = response.body?.getReader()
  let text = ''
  let bytes = 0
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    bytes += chunk.value.byteLength
    if (bytes > maxBytes) {
      reader?.cancel().catch(() => {})
      throw new KeyFetchError('invalid', `The answer from ${place} is larger than ${maxBytes / 1024} kB.`)
    }
    text += decoder.decode(chunk.value, { stream: true })
  }
  return text + decoder.decode()
}

/** From Cache-Control (RFC 9111 section 5.2.2), between one and fifteen minutes. */
function freshnessOf(headers: Headers): number {
  const cacheControl = headers.get('cache-control')?.toLowerCase() ?? ''
  if (/\bno-(store|cache)\b/.test(cacheControl)) return minFreshness
  const seconds = /\bmax-age="?(\d+)/.exec(cacheControl)?.[1]
  if (seconds === undefined) return defaultFreshness
  const age = Number(headers.get('age')) || 0
  return Math.min(maxFreshness, Math.max(minFreshness, (Number(seconds) - age) * 1000))
}

/** Seconds or a date (RFC 9110 section 10.2.3). Better Auth names the header X-Retry-After. */
function retryAfterOf(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after') ?? headers.get('x-retry-after')
  if (value === null) return undefined
  const time = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isFinite(time) && time > 0 ? time : undefined
}
