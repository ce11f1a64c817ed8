import { inspect } from 'node:util'
import { vi } from 'vitest'
import type {
  createVerifier,
  IssuerOptions,
  Verifier,
  VerifierOptions,
} from '../../../server/verifier/index.js'
import { carriesIssuer } from '../../parts/issuer.js'
import {
  good,
  goodOfOther,
  issuer,
  keys,
  noon,
  other,
  otherAudience,
  published,
  secret,
  token,
} from './token-fixtures.js'

export type Create = typeof createVerifier

/** What an attacker does and what comes of it: `accepted`, or the reason of the refusal, with whatever harm it did. */
export type Case = [name: string, expected: string, run: (create: Create) => Promise<string>]

/** What a case changes of the usual options. */
export type Options = Partial<Extract<VerifierOptions, { issuer: string }>> & {
  issuers?: readonly IssuerOptions[]
}

/** One line: what is wrong with the token, why it is refused, how it is made, and for what verifier. */
export type TokenCase = [
  name: string,
  expected: string,
  make: () => string | Promise<string>,
  options?: Options,
]

/** Two issuers, each with its own keys, audience and algorithms. */
export const severalIssuers: Options = {
  issuers: [
    { issuer, audience: issuer },
    { issuer: other, audience: otherAudience, algorithms: ['EdDSA'] },
  ],
  user: carriesIssuer,
}

/** Answers with the key sets there are, and from anywhere else with the attacker's key; keeps what it was asked for. */
export function stubKeySets(sets = published) {
  const asked: string[] = []
  const spy = vi.spyOn(globalThis, 'fetch').mockImplementation(async input => {
    const url = String(input instanceof Request ? input.url : input)
    asked.push(url)
    return Response.json({ keys: sets[url] ?? [keys.attacker.jwk] })
  })
  return { asked, [Symbol.dispose]: () => spy.mockRestore() }
}

/** A verifier of the issuer, at noon. */
export function verifierOf(create: Create, { issuers, ...options }: Options = {}) {
  const rest = { now: () => noon * 1000, ...options }
  return create(issuers ? { ...rest, issuers } : { issuer, audience: issuer, ...rest })
}

/** `accepted`, the reason of the refusal, or what else went wrong. */
export async function outcomeOf(verifier: Verifier, text: string): Promise<string> {
  try {
    await verifier.verify(text)
    return 'accepted'
  } catch (error) {
    return reasonOf(error)
  }
}

/** By its form: a weakened copy of the verifier has a class of its own. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'reason' in error ? String(error.reason) : `${error.name}: ${error.message}`
}

/** The case of a token, which is tried twice while a good one is known, and must leave the verifier as it was. */
export function ofToken([name, expected, make, options]: TokenCase): Case {
  return [name, expected, create => tryToken(create, make, options)]
}

async function tryToken(create: Create, make: TokenCase[2], options: Options = {}): Promise<string> {
  using web = stubKeySets()
  const verifier = verifierOf(create, options)
  const known = options.issuers ? [good, goodOfOther] : [good]
  const users = await Promise.all(known.map(verifier.verify))
  const before = JSON.stringify(verifier.status())
  const asked = web.asked.length
  const text = await make()

  const refusal: unknown = await verifier.verify(text).then(
    () => null,
    error => error,
  )
  const outcome = refusal === null ? 'accepted' : reasonOf(refusal)
  const again = await outcomeOf(verifier, text)
  const usersAfter = await Promise.all(known.map(one => verifier.verify(one).catch(reasonOf)))
  const fresh = await outcomeOf(verifier, await freshToken())
  const mayAsk = mayAskFor(outcome, text)
  const harm = [
    tells(refusal, text) && 'and the error tells of the token',
    again !== outcome && `${again} the second time`,
    usersAfter.some((user, index) => user !== users[index]) && 'a token that was known is not',
    fresh !== 'accepted' && `a good token is refused: ${fresh}`,
    JSON.stringify(verifier.status()) !== before && 'the key set is another',
    web.asked.length !== asked + mayAsk && `${web.asked.length - asked} fetches`,
    web.asked.some(url => !(url in published)) && `a fetch of ${web.asked.at(-1)}`,
  ]
  return [outcome, ...harm.filter(one => one !== false)].join(', ')
}

/** How often the issuer is asked: once about a kid that it may have minted since, and each time about a token that names none. */
function mayAskFor(outcome: string, text: string): number {
  if (outcome === 'unknown_key') return kidOf(text) === undefined ? 0 : 1
  return outcome === 'signature' && kidOf(text) === undefined ? 2 : 0
}

let fresh: Promise<string> | undefined
function freshToken(): Promise<string> {
  fresh ??= token({ sub: 'bob' })
  return fresh
}

function kidOf(text: string): unknown {
  const header: unknown = JSON.parse(Buffer.from(text.split('.')[0] ?? '', 'base64url').toString())
  return typeof header === 'object' && header !== null && 'kid' in header ? header.kid : undefined
}

/** Whether whoever prints the error, with its causes and all that is hidden in it, sees the token or a claim. */
function tells(error: unknown, text: string): boolean {
  const printed = inspect(error, {
    depth: null,
    showHidden: true,
    maxStringLength: null,
    maxArrayLength: null,
  })
  return [secret, ...text.split('.').filter(part => part.length >= 16)].some(part => printed.includes(part))
}
