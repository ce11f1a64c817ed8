/** The longest name of the DNS has 253 characters (RFC 1035); a dot at its end and `:65535` may follow. */
const maxLength = 253 + '.'.length + ':65535'.length

/** The part of a URL where the parser looks for a host. The origin of a `blob:` URL is that of the URL inside it. */
const authority = /^[\0- ]*(?:blob:[\0- ]*)?(?:https?|wss?|ftp|file):[/\\]*([^/\\?#]*)/i

/**
 * Whether the host of a URL is longer than a host can be. Ask it before `new URL`: the time to parse a host with international
 * characters grows with the square of its length, and 100 kB of them block the process for seconds.
 */
export function hasLongHost(url: string): boolean {
  // The parser skips these characters wherever they are.
  const [, found = ''] = authority.exec(url.replace(/[\t\n\r]/g, '')) ?? []
  return found.length - (found.lastIndexOf('@') + 1) > maxLength
}
