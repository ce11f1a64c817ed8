import { withTimeout } from '../shared/timeout.js'

/**
 * Returns a JWT, or null, undefined or '' if nobody is signed in. It may also have `subscribe`, the default for the option of
 * `bearerAuth` of that name.
 */
export interface GetToken {
  (): Promise<string | null | undefined> | string | null | undefined
  subscribe?: Subscribe | undefined
}

/**
 * Watches the session of the issuer. It calls `report` whenever the session changes, with the id of its user, null if nobody is
 * signed in, or undefined if that is not known yet.
 *
 * @returns a function that stops watching
 */
export type Subscribe = (report: (userId: string | null | undefined) => void) => () => void

/** What a JWT says of itself. The client does not verify it: the API does. */
export interface TokenFacts {
  token: string
  /** Equal for tokens of one person. Undefined if the token does not say whose it is. */
  person: string | undefined
  /** `sub` (RFC 7519 section 4.1.2). */
  subject: string | undefined
  /** From `iat` to `exp`, in milliseconds. Infinity if unknown. */
  life: number
}

/** A token that is on its way. */
interface Pending {
  facts: Promise<TokenFacts | null>
  isCleared: boolean
  /** False if the session has changed since it was asked for. */
  isLatest: boolean
  /** Who was reported as signed in meanwhile. */
  user: string | null | undefined
}

const getTokenLimitMs = 30_000
const renewBeforeMs = 30_000
/** `b64token` (RFC 6750 section 2.1), but not a missing value as text. */
const tokenPattern = /^(?!(?:undefined|null)$)[\w\-.~+/]+=*$/

/**
 * Keeps the last token in memory, and fetches the next one once for all calls that wait. A token is renewed 30 seconds before it
 * expires, or after two thirds of a life under 90 seconds. Only time differences are measured, because the device's clock may be wrong.
 */
export class TokenKeeper {
  readonly #getToken: GetToken
  readonly #cache: boolean
  #kept: { facts: TokenFacts; from: number; until: number } | null = null
  #pending: Pending | null = null

  constructor(getToken: GetToken, cache: boolean) {
    this.#getToken = getToken
    this.#cache = cache
  }

  /** The token to send now, or null if nobody is signed in. */
  current(): Promise<TokenFacts | null> {
    if (!this.#cache) return this.#fetch()
    const now = Date.now()
    if (this.#kept !== null && now >= this.#kept.from && now < this.#kept.until)
      return Promise.resolve(this.#kept.facts)
    this.#pending ??= this.#start()
    return this.#pending.facts
  }

  /** Forgets this token: the next call fetches another. */
  forget(token: string | undefined): void {
    if (this.#kept?.facts.token === token) this.#kept = null
  }

  /** Forgets the token. Whoever waits for one gets null, because it would be of a former user. */
  clear(): void {
    this.#kept = null
    if (this.#pending !== null) this.#pending.isCleared = true
    this.#pending = null
  }

  /**
   * The session has changed, so the next call fetches a token. Whoever waits for one gets it, but if it is of another user, the one after.
   *
   * @param user who is signed in now, null if nobody is: a token of theirs stays. By default none does.
   */
  renew(user?: string | null): void {
    if (user === undefined || this.#kept?.facts.subject !== user) this.#kept = null
    if (user === undefined) this.#pending = null
    else if (this.#pending !== null) this.#pending.user = user
  }

  #start(): Pending {
    const pending: Pending = {
      isCleared: false,
      user: undefined,
      facts: this.#fetch()
        .finally(() => {
          pending.isLatest = this.#pending === pending
          if (pending.isLatest) this.#pending = null
        })
        .then(facts => {
          if (pending.isCleared) return null
          if (pending.user !== undefined && (facts?.subject ?? null) !== pending.user) return this.current()
          if (pending.isLatest && facts !== null) {
            const from = Date.now()
            this.#kept = { facts, from, until: from + facts.life - Math.min(renewBeforeMs, facts.life / 3) }
          }
          return facts
        }),
      isLatest: true,
    }
    return pending
  }

  async #fetch(): Promise<TokenFacts | null> {
    const answer = Promise.resolve(this.#getToken())
    const token: unknown = await withTimeout(
      answer,
      getTokenLimitMs,
      `getToken did not answer within ${getTokenLimitMs / 1_000} seconds.`,
    )
    return token === null || token === undefined || token === '' ? null : factsOf(token)
  }
}

/** The error does not quote the value: a part of it may be a token. */
function factsOf(token: unknown): TokenFacts {
  if (typeof token !== 'string' || !tokenPattern.test(token))
    throw new TypeError(
      'getToken returned something that is not a token (RFC 6750). Return the JWT alone, without "Bearer", or null if nobody is signed in.',
    )
  const claims = claimsOf(token)
  const { iss, sub } = claims
  return {
    token,
    life: lifeOf(claims),
    subject: typeof sub === 'string' ? sub : undefined,
    person: typeof sub === 'string' ? JSON.stringify([iss, sub]) : undefined,
  }
}

type Claims = Record<string, unknown>

/** From `iat` to `exp`, in milliseconds. Infinity if unknown. */
export const lifeOf = ({ iat, exp }: Claims): number =>
  typeof iat === 'number' && typeof exp === 'number' ? (exp - iat) * 1_000 : Number.POSITIVE_INFINITY

/** Claims of a JWT that is not verified. Empty if they cannot be read. */
export function claimsOf(token: string): Claims {
  try {
    const [, payload = ''] = token.split('.')
    const claims: unknown = JSON.parse(decodeBase64Url(payload))
    return typeof claims === 'object' && claims !== null ? (claims as Claims) : {}
  } catch {
    return {}
  }
}

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Older versions of React Native have no `atob`. */
function decodeBase64Url(text: string): string {
  let [bits, length, encoded] = [0, 0, '']
  for (const digit of text) {
    bits = ((bits << 6) | digits.indexOf(digit)) & 0xfff
    length += 6
    if (length < 8) continue
    length -= 8
    encoded += `%${((bits >> length) & 0xff).toString(16).padStart(2, '0')}`
  }
  return decodeURIComponent(encoded)
}
