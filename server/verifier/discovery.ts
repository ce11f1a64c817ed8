import { type Asking, type FetchedKeys, fetchJson, fetchKeys, KeyFetchError } from './key-fetch.js'

/**
 * Fetches the keys from where the issuer's metadata says they are: OpenID Connect Discovery 1.0 section 4, or RFC 8414 section 3 where
 * there is no such thing; the one that was there is asked for first from then on. Each time anew: an issuer may move its keys, and
 * go on serving those of before at the old place.
 *
 * @param checkUrl throws for a URL that keys may not come from
 */
export function discoverKeys(
  url: URL,
  issuer: string,
  checkUrl: (url: string) => URL,
): (asking: Asking) => Promise<FetchedKeys> {
  const path = url.pathname.replace(/\/$/, '')
  let place = withPath(url, `${path}/.well-known/openid-configuration`)
  let other = withPath(url, `/.well-known/oauth-authorization-server${path}`)
  async function fetchMetadata(asking: Asking) {
    try {
      return await fetchJson(place, asking)
    } catch (error) {
      if (!hasNone(error)) throw error
      const found = await fetchJson(other, asking)
      ;[place, other] = [other, place]
      return found
    }
  }
  return async asking => {
    const { value } = await fetchMetadata(asking)
    return fetchKeys(checkUrl(keysUrlOf(value, issuer)), asking)
  }
}

function withPath(url: URL, path: string): URL {
  const other = new URL(url.origin)
  other.pathname = path
  return other
}

/** A 429 is no word on what there is. */
const hasNone = (error: unknown) => error instanceof KeyFetchError && /^status_4(?!29)/.test(error.problem)

function keysUrlOf(metadata: unknown, issuer: string): string {
  if (typeof metadata !== 'object' || metadata === null)
    throw new KeyFetchError('invalid', 'The metadata is not an object.')
  // RFC 8414 section 3.3: or another server could pass its keys off as this issuer's.
  if (!('issuer' in metadata) || metadata.issuer !== issuer)
    throw new KeyFetchError('invalid', 'The metadata is of another issuer.')
  if (!('jwks_uri' in metadata) || typeof metadata.jwks_uri !== 'string')
    throw new KeyFetchError('invalid', 'The metadata has no jwks_uri.')
  return metadata.jwks_uri
}
