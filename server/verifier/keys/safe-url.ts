const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Whether the host name of a URL is this machine. */
export const isLoopback = ({ hostname }: URL) => loopback.test(hostname)

/**
 * Whether keys from this URL can be trusted: it is https, or http on this machine. Anybody on the network could replace keys from plain
 * http (RFC 8725 section 3.10, RFC 8414 section 6.1).
 *
 * @param namedBy where the URL was found: only this machine may name an http URL on this machine
 */
export function isSafeUrl(url: URL, namedBy: URL = url): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url) && isLoopback(namedBy))
}

/** A URL for logs: origin and path without the query, at most 200 characters. */
export const urlForLog = ({ origin, pathname }: URL) => `${origin}${pathname}`.slice(0, 200)

/**
 * Checks a URL that keys are fetched from.
 *
 * @throws TypeError if it is not a safe URL (unless `allowHttp` permits it), or contains a password
 */
export function checkedKeyUrl(value: string | URL, allowHttp: boolean, namedBy?: URL): URL {
  if (!URL.canParse(String(value))) throw new TypeError('The jwksUrl (or the issuer) is not a URL.')
  const url = new URL(value)
  if (url.username || url.password)
    throw new TypeError('The jwksUrl must not contain a user or a password: fetch refuses such URLs.')
  const isHttp = url.protocol === 'http:'
  // A data: URL contains the keys themselves, so only its protocol is shown.
  const place = isHttp ? urlForLog(url) : `a URL of ${url.protocol.slice(0, 20)}`
  if (!(isSafeUrl(url, namedBy) || (allowHttp && isHttp)))
    throw new TypeError(`The keys must come over https, not from ${place}. See allowHttp.`)
  return url
}
