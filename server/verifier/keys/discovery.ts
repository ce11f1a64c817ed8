import { isSlashApart } from '../token/claim-rules.js'
import { type Asking, type FetchedKeys, fetchJson, fetchKeys, KeyFetchError } from './key-fetch.js'
import { placeOf } from './safe-url.js'

/**
 * Fetches the keys from where the issuer's metadata says they are: OpenID Connect Discovery 1.0 section 4, or RFC 8414 section 3 where
 * there is no such thing; the one that was there is asked for first from then on. Each time anew: an issuer may move its keys, and
 * go on serving those of before at the old place.
 *
 * @param checkUrl throws for a URL that keys may not come from, named by the metadata at another
 */
export function discoverKeys(
  url: URL,
  issuer: string,
  checkUrl: (url: string, namedBy: URL) => URL,
): (asking: Asking) => Promise<FetchedKeys> {
  const path = url.pathname.replace(/\/$/, '')
  let place = withPath(url, `${path}/.well-known/openid-configuration`)
  let other = withPath(url, `/.well-known/oauth-authorization-server${path}`)
  async function fetchMetadata(asking: Asking) {
    const missing = await fetchJson(place, asking).catch(unlessNone)
    if (!(missing instanceof KeyFetchError)) return missing
    const found = await fetchJson(other, asking).catch(unlessNone)
    if (found instanceof KeyFetchError) throw withoutMetadata(missing, found)
    ;[place, other] = [other, place]
    return found
  }
  function allowed(keysUrl: string): URL {
    try {
      return checkUrl(keysUrl, place)
    } catch (cause) {
      const why = cause instanceof TypeError ? ` ${cause.message}` : ''
      const from = placeOf(place)
      throw new KeyFetchError('invalid', `The jwks_uri in the metadata at ${from} is refused.${why}`, {
        cause,
      })
    }
  }
  return async asking => {
    const { value } = await fetchMetadata(asking)
    return fetchKeys(allowed(keysUrlOf(value, issuer, placeOf(place))), asking)
  }
}

function withPath(url: URL, path: string): URL {
  const other = new URL(url.origin)
  other.pathname = path
  return other
}

/** What says that there is none. A 429 is no word on what there is. */
function unlessNone(error: unknown): KeyFetchError {
  if (error instanceof KeyFetchError && /^status_4(?!29)/.test(error.problem)) return error
  throw error
}

const withoutMetadata = (first: KeyFetchError, { problem, message, details }: KeyFetchError) =>
  new KeyFetchError(problem, `${first.message} ${message} Where there are no metadata, set jwksUrl.`, details)

function keysUrlOf(metadata: unknown, issuer: string, place: string): string {
  if (typeof metadata !== 'object' || metadata === null)
    throw new KeyFetchError('invalid', `The metadata at ${place} are not an object.`)
  // RFC 8414 section 3.3: or another server could pass its keys off as this issuer's.
  if (!('issuer' in metadata) || metadata.issuer !== issuer)
    throw new KeyFetchError('invalid', otherIssuer(metadata, issuer, place))
  if (!('jwks_uri' in metadata) || typeof metadata.jwks_uri !== 'string')
    throw new KeyFetchError('invalid', `The metadata at ${place} have no jwks_uri.`)
  return metadata.jwks_uri
}

function otherIssuer(metadata: { issuer?: unknown }, issuer: string, place: string): string {
  const { issuer: named } = metadata
  if (typeof named !== 'string') return `The metadata at ${place} name no issuer.`
  const problem = `The metadata at ${place} are of another issuer: ${JSON.stringify(named.slice(0, 200))}`
  if (!isSlashApart(named, issuer)) return `${problem}.`
  return `${problem}, the same but for the slash behind. Set the issuer as the metadata have it.`
}
