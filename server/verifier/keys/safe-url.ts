const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Whether a URL leads to this machine, by its name. */
export const isLoopback = ({ hostname }: URL) => loopback.test(hostname)

/**
 * Whether what comes from there is what its owner sent: over https, or from this machine. Keys over plain http are whatever somebody
 * between wants (RFC 8725 section 3.10, RFC 8414 section 6.1). Only this machine itself may name a place on it.
 */
export function isSafeUrl(url: URL, namedBy: URL = url): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url) && isLoopback(namedBy))
}

/** A URL as a log may name it: origin and path, 200 characters at most. */
export const placeOf = ({ origin, pathname }: URL) => `${origin}${pathname}`.slice(0, 200)
