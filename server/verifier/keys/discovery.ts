import { hasLongHost } from '../../../shared/host-length.js'
import { differsOnlyBySlash } from '../token/claims.js'
import { type FetchContext, type FetchedKeys, fetchJson, fetchKeys, KeyFetchError } from './key-fetch.js'
import { urlForLog } from './safe-url.js'

const maxUrlLength = 2_048

/**
 * Returns a function that fetches the issuer's metadata and then the keys at its `jwks_uri`. Asks for OpenID Connect Discovery 1.0
 * (section 4) or RFC 8414 (section 3), and each time anew, because an issuer may move its keys.
 *
 * @param checkUrl throws if keys must not come from a URL; receives the URL of the metadata that named it
 */
export function discoverKeys(
  url: URL,
  issuer: string,
  checkUrl: (url: string, namedBy: URL) => URL,
): (context: FetchContext) => Promise<FetchedKeys> {
  const path = url.pathname.replace(/\/$/, '')
  let metadataUrl = withPath(url, `${path}/.well-known/openid-configuration`)
  let otherUrl = withPath(url, `/.well-known/oauth-authorization-server${path}`)
  async function fetchMetadata(context: FetchContext) {
    const first = await fetchJson(metadataUrl, context).catch(missingOrThrow)
    if (!(first instanceof KeyFetchError)) return first
    const second = await fetchJson(otherUrl, context).catch(missingOrThrow)
    if (second instanceof KeyFetchError) throw noMetadata(first, second)
    ;[metadataUrl, otherUrl] = [otherUrl, metadataUrl]
    return second
  }
  function checkKeysUrl(keysUrl: string): URL {
    try {
      return checkUrl(keysUrl, metadataUrl)
    } catch (cause) {
      const why = cause instanceof TypeError ? ` ${cause.message}` : ''
      const place = urlForLog(metadataUrl)
      throw new KeyFetchError('invalid', `The jwks_uri in the metadata at ${place} is refused.${why}`, {
        cause,
      })
    }
  }
  return async context => {
    const { value } = await fetchMetadata(context)
    return fetchKeys(checkKeysUrl(keysUrlOf(value, issuer, urlForLog(metadataUrl))), context)
  }
}

function withPath(url: URL, path: string): URL {
  const other = new URL(url.origin)
  other.pathname = path
  return other
}

/** Any 4xx says that there is no metadata at this URL, except 429, which says nothing about it. */
function missingOrThrow(error: unknown): KeyFetchError {
  if (error instanceof KeyFetchError && /^status_4(?!29)/.test(error.problem)) return error
  throw error
}

const noMetadata = (first: KeyFetchError, { problem, message, details }: KeyFetchError) =>
  new KeyFetchError(
    problem,
    `${first.message} ${message} If the issuer has no metadata, set jwksUrl.`,
    details,
  )

function keysUrlOf(metadata: unknown, issuer: string, place: string): string {
  if (typeof metadata !== 'object' || metadata === null)
    throw new KeyFetchError('invalid', `The metadata at ${place} is not an object.`)
  // RFC 8414 section 3.3: otherwise another server could present its keys as this issuer's.
  if (!('issuer' in metadata) || metadata.issuer !== issuer)
    throw new KeyFetchError('invalid', wrongIssuer(metadata, issuer, place))
  if (!('jwks_uri' in metadata) || typeof metadata.jwks_uri !== 'string')
    throw new KeyFetchError('invalid', `The metadata at ${place} has no jwks_uri.`)
  const { jwks_uri: keysUrl } = metadata
  if (keysUrl.length > maxUrlLength || hasLongHost(keysUrl))
    throw new KeyFetchError('invalid', `The jwks_uri in the metadata at ${place} is too long.`)
  return keysUrl
}

function wrongIssuer(metadata: { issuer?: unknown }, issuer: string, place: string): string {
  const { issuer: named } = metadata
  if (typeof named !== 'string') return `The metadata at ${place} names no issuer.`
  const problem = `The metadata at ${place} is for another issuer: ${JSON.stringify(named.slice(0, 200))}.`
  if (!differsOnlyBySlash(named, issuer)) return problem
  return `${problem} Only the trailing slash differs. Set issuer to exactly this value.`
}
