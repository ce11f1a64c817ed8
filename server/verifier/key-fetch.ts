import { PrivateKeyError, readSigningKeys, type SigningKey } from './signing-keys.js'

/** Why an answer of the issuer was not taken. The message says nothing of its content. */
export class KeyFetchError extends Error {
  override name = 'KeyFetchError'

  constructor(
    message: string,
    readonly details: {
      cause?: unknown
      /** Milliseconds that the issuer asks to be left alone. */
      retryAfter?: number | undefined
      /** A well-formed answer without any key: an issuer that mints its first one when it signs. */
      isEmpty?: boolean
    } = {},
  ) {
    super(message, { cause: details.cause })
  }
}

/** Keys as the issuer publishes them. */
export interface FetchedKeys {
  keys: SigningKey[]
  /** Milliseconds that they are fresh. */
  freshFor: number
}

const patience = 3_000
const maxBytes = 256 * 1024
const maxKeys = 100
const usualFreshness = 5 * 60_000
const minFreshness = 60_000
const maxFreshness = 15 * 60_000

/**
 * Fetches a key set: an answer counts when it is a 200 (no redirect), whole within 3 seconds, of 256 kB and 100 keys at most, and has
 * at least one key that can verify.
 *
 * @throws KeyFetchError
 */
export async function fetchKeys(url: URL, fetch: typeof globalThis.fetch): Promise<FetchedKeys> {
  const { value, headers } = await fetchJson(url, fetch)
  const list = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : undefined
  if (!Array.isArray(list)) throw new KeyFetchError('The answer is not a key set.')
  if (list.length > maxKeys) throw new KeyFetchError(`The key set has more than ${maxKeys} keys.`)
  const keys = await readSigningKeys(list).catch(cause => {
    if (!(cause instanceof PrivateKeyError)) throw cause
    throw new KeyFetchError(`The key set is refused. ${cause.message}`, { cause })
  })
  if (keys.length > 0) return { keys, freshFor: freshnessOf(headers) }
  throw new KeyFetchError('The key set has no key that can verify a token.', { isEmpty: list.length === 0 })
}

/**
 * Fetches JSON from the issuer, within the limits that an answer has.
 *
 * @throws KeyFetchError
 */
export async function fetchJson(
  url: URL,
  fetch: typeof globalThis.fetch,
): Promise<{ value: unknown; headers: Headers }> {
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json' },
      redirect: 'manual',
      cache: 'no-store',
      signal: AbortSignal.timeout(patience),
    })
    if (response.status !== 200) {
      await response.body?.cancel()
      const { headers, status } = response
      throw new KeyFetchError(`The issuer answered with status ${status}.`, {
        retryAfter: retryAfterOf(headers),
      })
    }
    return { value: JSON.parse(await limitedText(response)), headers: response.headers }
  } catch (cause) {
    if (cause instanceof KeyFetchError) throw cause
    const isLate = cause instanceof Error && cause.name === 'TimeoutError'
    const problem = isLate
      ? `The issuer did not answer within ${patience / 1000} s.`
      : cause instanceof SyntaxError
        ? 'The answer is not JSON.'
        : 'The issuer cannot be reached.'
    throw new KeyFetchError(problem, { cause })
  }
}

async function limitedText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  const reader = response.body?.getReader()
  let text = ''
  let bytes = 0
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    bytes += chunk.value.byteLength
    if (bytes > maxBytes) {
      await reader?.cancel()
      throw new KeyFetchError(`The answer is larger than ${maxBytes / 1024} kB.`)
    }
    text += decoder.decode(chunk.value, { stream: true })
  }
  return text + decoder.decode()
}

/** RFC 9111 section 5.2.2, between one minute and fifteen. */
function freshnessOf(headers: Headers): number {
  const cacheControl = headers.get('cache-control')?.toLowerCase() ?? ''
  if (/\bno-(store|cache)\b/.test(cacheControl)) return minFreshness
  const seconds = /\bmax-age="?(\d+)/.exec(cacheControl)?.[1]
  if (seconds === undefined) return usualFreshness
  const age = Number(headers.get('age')) || 0
  return Math.min(maxFreshness, Math.max(minFreshness, (Number(seconds) - age) * 1000))
}

/** Seconds, or a date (RFC 9110 section 10.2.3). */
function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const time = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(time) && time > 0 ? time : undefined
}
