const pattern = /^[\w.-]{1,64}$/

/** The id of a request: what a proxy in front has given it (`x-request-id`), else a new one. */
export function requestIdOf(headers: Headers): string {
  const given = headers.get('x-request-id')
  return given !== null && pattern.test(given) ? given : crypto.randomUUID()
}
