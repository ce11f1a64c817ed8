import { TokenError } from './token-error.js'

type HeaderValues = string | string[] | undefined

/** A request of any host: Fetch's, Node's (http and http2), or one that has Node's as `raw` (Fastify). */
export type RequestLike =
  | { headers: { get(name: string): string | null } }
  | { headersDistinct: { authorization?: HeaderValues } }
  | { headers: { authorization?: HeaderValues } }
  | { raw: { headersDistinct?: { authorization?: HeaderValues }; headers: { authorization?: HeaderValues } } }

/** Node before 22 silently drops the headers after the first thousand, which could hide a second Authorization header. */
const maxRawHeaders = 2 * 1_000

// RFC 6750 section 2.1: the scheme is case-insensitive (RFC 9110 section 11.1), the token is a b64token.
const bearer = /^bearer +([\w\-.~+/]+=*)$/i

/**
 * Returns the token of the `Authorization: Bearer` header (RFC 6750 section 2.1). Tokens in a query, cookie or form are ignored.
 *
 * @throws TokenError `missing` without the header; `malformed` for another scheme, a list, a second header, or a thousand headers
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
  if (Array.isArray(rawHeaders) && rawHeaders.length >= maxRawHeaders) throw new TokenError('malformed')
  // Node's `headers` silently drops a second Authorization header. Fetch joins the two with a comma.
  if ('headersDistinct' in request && request.headersDistinct)
    return toList(request.headersDistinct.authorization)
  // An http2 request has no `headersDistinct`.
  if (Array.isArray(rawHeaders)) {
    const names = rawHeaders.filter((_, index) => index % 2 === 0)
    const values = rawHeaders.filter((_, index) => index % 2 === 1)
    return values.filter((_, index) => String(names[index]).toLowerCase() === 'authorization')
  }
  if (!('headers' in request)) return []
  const { headers } = request
  if ('get' in headers && typeof headers.get === 'function')
    return toList(headers.get('authorization') ?? undefined)
  return 'authorization' in headers ? toList(headers.authorization) : []
}

const toList = (values: HeaderValues): string[] => [values ?? []].flat()
