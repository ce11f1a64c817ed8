const idPattern = /^[\w.-]{1,64}$/

/** The id of a request: its `x-request-id` from a proxy, or a new one. */
export const requestIdOf = (given: string | null | undefined): string =>
  given && idPattern.test(given) ? given : crypto.randomUUID()

/**
 * Whether the path of a request target (RFC 9112 section 3.2) equals its normalized path. A proxy may allow
 * `/trpc/%2e%2e/metrics` as a path under `/trpc/`, but a URL parser turns it into `/metrics`.
 */
export function isPlainTarget(target: string, pathname: string): boolean {
  const [path] = target.replace(/^https?:\/\/[^/?#\\@]*/i, '').split('?', 1)
  return (path || '/') === pathname
}

/**
 * The procedures of `<prefix><procedures>`, or of `/<procedures>` if the host has removed the prefix. Null for another path. A second
 * slash in front is another path, so that nobody bypasses a proxy rule for `/trpc/<procedure>`.
 */
export function procedurePath(pathname: string, prefix: string): string | null {
  const rest = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : pathname.slice(1)
  let end = rest.length
  while (rest[end - 1] === '/') end--
  const path = rest.slice(0, end)
  return path === '' || path.includes('/') ? null : path
}

/** The path of a request; undefined if its Host header, and so its URL, is not valid. */
export function pathOf({ url }: Request): string | undefined {
  return URL.canParse(url) ? new URL(url).pathname : undefined
}

/** The message for a path that is not in its plain form. */
export const pathNotPlain =
  'The Host header is not valid, or the path is not in its plain form: send it without "." and ".." segments, and percent-encode special characters.'
