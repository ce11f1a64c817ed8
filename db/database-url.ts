/** The wrong URL of a database, said without the URL, because it has a password. */
export class DatabaseUrlError extends TypeError {
  override name = 'DatabaseUrlError'
}

/**
 * What is wrong with the URL of a database, as the end of a sentence; undefined if nothing is. pg also accepts a URL without a host, if
 * its query names a socket.
 */
export function databaseUrlProblem(url: string): string | undefined {
  const withHost = url.replace('@/', '@localhost/')
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(withHost))
    return 'is not a PostgreSQL URL. Use postgres://user:password@host:5432/database'
  const port = new URL(withHost).searchParams.get('port')
  if (port !== null && !/^\d{1,5}$/.test(port)) return 'has a port that is not a number.'
  try {
    decodeURIComponent(url)
  } catch {
    return 'has a % that is not encoded. Write a % of the password as %25.'
  }
}
