import { TokenError } from './token-error.js'

type Values = string | string[] | undefined

/** A request of any host: Fetch's, Node's (http and http2), or one that carries Node's as `raw` (Fastify). */
export type RequestLike =
  | { headers: { get(name: string): string | null } }
  | { headersDistinct: { authorization?: Values } }
  | { headers: { authorization?: Values } }
  | { raw: { headersDistinct?: { authorization?: Values }; headers: { authorization?: Values } } }

/** Before 22 Node drops what comes after a thousand headers in silence: a second Authorization may be among it. */
const mostRawHeaders = 2 * 1_000

// RFC 6750 section 2.1: the scheme is case-insensitive (RFC 9110 section 11.1), the token is a b64token.
const bearer = /^bearer +([\w\-.~+/]+=*)$/i

/**
 * The token of a request's `Authorization: Bearer` header (RFC 6750 section 2.1). Nothing else is looked at: no query, no
 * cookie, no form.
 *
 * @throws TokenError `missing` without the header, `malformed` for another scheme, a list or a second header (or a thousand of any)
 */
export function bearerToken(request: RequestLike): string {
  const values = authorizationOf('raw' in request ? request.raw : request)
  if (values.join('') === '' && values.length < 2) throw new TokenError('missing')
  const [, token] = values.length === 1 ? (bearer.exec(values[0] ?? '') ?? []) : []
  if (token === undefined) throw new TokenError('malformed')
  return token
}

function authorizationOf(request: Exclude<RequestLike, { raw: object }>): string[] {
  const rawHeaders: unknown = 'rawHeaders' in request ? request.rawHeaders : undefined
  if (Array.isArray(rawHeaders) && rawHeaders.length >= mostRawHeaders) throw new TokenError('malformed')
  // Node's `headers` drops a second Authorization in silence, Fetch joins the two with a comma.
  if ('headersDistinct' in request && request.headersDistinct)
    return list(request.headersDistinct.authorization)
  // http2's requests have no `headersDistinct`.
  if (Array.isArray(rawHeaders)) {
    const names = rawHeaders.filter((_, index) => index % 2 === 0)
    const values = rawHeaders.filter((_, index) => index % 2 === 1)
    return values.filter((_, index) => String(names[index]).toLowerCase() === 'authorization')
  }
  if (!('headers' in request)) return []
  const { headers } = request
  if ('get' in headers && typeof headers.get === 'function')
    return list(headers.get('authorization') ?? undefined)
  return 'authorization' in headers ? list(headers.authorization) : []
}

const list = (values: Values): string[] => [values ?? []].flat()
