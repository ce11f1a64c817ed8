import { isAlgorithm, supportedAlgorithms } from './token/algorithms.js'
import { isObject } from './token/json.js'
import type { IssuerOptions } from './trusted-issuer.js'
import type { CacheOptions } from './verdict-cache.js'
import type { CommonOptions } from './verifier-options.js'

/** What an option that is given must be: the check, and in words. */
type Rule = [isRight: (value: unknown) => boolean, mustBe: string]
/** As a record, so that none is forgotten: the compiler compares it with the options. */
type Rules<Options> = Record<keyof Options, Rule>

const isText = (value: unknown) => typeof value === 'string' && value !== ''
const isFunction = (value: unknown) => typeof value === 'function'
const isListOf = (value: unknown, isRight: (member: unknown) => boolean, least = 1) =>
  Array.isArray(value) && value.length >= least && value.every(isRight)

const flag: Rule = [value => typeof value === 'boolean', 'true or false']
const hook: Rule = [isFunction, 'a function']
const seconds: Rule = [value => Number.isFinite(value) && Number(value) >= 0, 'seconds, 0 or more']
const someSeconds: Rule = [value => typeof value === 'number' && value > 0, 'seconds, above 0']

/** What is said of one issuer: beside `issuers` it would be of none of them. */
export const issuerRules: Rules<IssuerOptions> = {
  issuer: [isText, 'the iss that tokens must have, as text'],
  audience: [isText, 'the one aud that tokens must have, as text'],
  jwksUrl: [value => isText(value) || isObject(value), 'a URL'],
  discover: flag,
  keys: [
    value => isListOf(isObject(value) ? value.keys : value, isObject, 0),
    'a list of JWKs, or a key set (RFC 7517)',
  ],
  algorithms: [value => isListOf(value, isAlgorithm), `a list of some of ${supportedAlgorithms.join(', ')}`],
}

/** What is said of all issuers alike, and the list of them. */
export const commonRules: Rules<CommonOptions & { issuers: unknown }> = {
  issuers: [value => isListOf(value, isObject), 'a list of one or more, each with an issuer and an audience'],
  clockTolerance: seconds,
  maxTokenAge: someSeconds,
  // With nothing behind its slash a type would be that of every token whose typ is no text.
  types: [
    value => isListOf(value, type => typeof type === 'string' && /[^/]$/.test(type)),
    'a list of one or more, such as JWT and at+jwt',
  ],
  user: [
    value => isFunction(value) || (isObject(value) && isFunction(value.safeParseAsync)),
    'a zod schema or a function that makes a user of the claims',
  ],
  isRevoked: hook,
  onRevocationError: [value => value === 'refuse' || value === 'accept', 'refuse or accept'],
  cache: [value => value === false || isObject(value), 'false, or its bounds: { maxEntries, maxAge }'],
  maxStale: seconds,
  allowHttp: flag,
  fetch: hook,
  waitUntil: hook,
  now: hook,
  onProblem: hook,
}

/** What is said of the cache. */
export const cacheRules: Rules<CacheOptions> = {
  maxEntries: [value => Number.isSafeInteger(value) && Number(value) > 0, 'a whole number, above 0'],
  maxAge: someSeconds,
}

/**
 * For whoever writes no TypeScript: an option that is misspelled would do nothing, and one of another type perhaps the opposite.
 *
 * @throws TypeError that names the option
 */
export function assertOptions(options: object, rules: Record<string, Rule>): void {
  const unknown = Object.keys(options).find(name => !Object.hasOwn(rules, name))
  if (unknown !== undefined)
    throw new TypeError(`There is no option ${unknown}: known are ${Object.keys(rules).join(', ')}.`)
  for (const [name, [isRight, mustBe]] of Object.entries(rules)) {
    const value: unknown = Reflect.get(options, name)
    if (value !== undefined && !isRight(value)) throw new TypeError(`The ${name} must be ${mustBe}.`)
  }
}
