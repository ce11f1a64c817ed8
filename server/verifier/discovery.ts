import { type FetchedKeys, fetchJson, fetchKeys, KeyFetchError } from './key-fetch.js'

interface DiscoveryOptions {
  fetch: typeof globalThis.fetch
  /** Throws for a URL that keys may not come from. */
  checkUrl: (url: string) => URL
}

/**
 * Fetches the keys from where the issuer's metadata says they are: OpenID Connect Discovery 1.0 section 4, else RFC 8414 section 3.
 * Where they cannot be had from there the metadata is asked anew.
 */
export function discoverKeys(
  url: URL,
  issuer: string,
  { fetch, checkUrl }: DiscoveryOptions,
): () => Promise<FetchedKeys> {
  const path = url.pathname.replace(/\/$/, '')
  const openid = new URL(`${path}/.well-known/openid-configuration`, url)
  const oauth = new URL(`/.well-known/oauth-authorization-server${path}`, url)
  let known: URL | undefined
  const discover = async () => {
    const { value } = await fetchJson(openid, fetch).catch(() => fetchJson(oauth, fetch))
    return checkUrl(keysUrlOf(value, issuer))
  }
  return async () => {
    const keysUrl = known ?? (await discover())
    known = undefined
    const answer = await fetchKeys(keysUrl, fetch)
    known = keysUrl
    return answer
  }
}

function keysUrlOf(metadata: unknown, issuer: string): string {
  if (typeof metadata !== 'object' || metadata === null)
    throw new KeyFetchError('The metadata is not an object.')
  // RFC 8414 section 3.3: or another server could pass its keys off as this issuer's.
  if (!('issuer' in metadata) || metadata.issuer !== issuer)
    throw new KeyFetchError('The metadata is of another issuer.')
  if (!('jwks_uri' in metadata) || typeof metadata.jwks_uri !== 'string')
    throw new KeyFetchError('The metadata has no jwks_uri.')
  return metadata.jwks_uri
}
