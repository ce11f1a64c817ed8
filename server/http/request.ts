const pattern = /^[\w.-]{1,64}$/

/** The id of a request: what a proxy in front has given it (`x-request-id`), else a new one. */
export function requestIdOf(headers: Headers): string {
  const given = headers.get('x-request-id')
  return given !== null && pattern.test(given) ? given : crypto.randomUUID()
}

/**
 * Whether the path of a request target (RFC 9112 section 3.2) is the one that a URL parser reads in it. It makes `/metrics` of
 * `/trpc/%2e%2e/metrics`, which a proxy in front may have let pass as a path under `/trpc/`.
 */
export function isPlainTarget(target: string, pathname: string): boolean {
  const [path] = target.replace(/^https?:\/\/[^/?#\\]*/i, '').split('?', 1)
  return (path || '/') === pathname
}

/** What the caller of a path that is not plain can do. */
export const plainPathAdvice =
  'The path is not in its plain form: send it without "." and ".." segments, and percent-encode special characters.'
