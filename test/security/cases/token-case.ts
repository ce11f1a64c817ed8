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

/** An attack and its outcome: `accepted` or the reason of the refusal, followed by any harm it did. */
export type Case = [name: string, expected: string, run: (create: Create) => Promise<string>]

/** The options that a case changes. */
export type Options = Partial<Extract<VerifierOptions, { audience: unknown }>> & {
  issuers?: readonly IssuerOptions[]
}

/** A token: what is wrong with it, the expected outcome, how it is made, and the options of the verifier. */
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

/** Stubs `fetch`: answers with the published key sets, at any other URL with the attacker's key, and records the URLs. */
export function stubKeySets(sets = published) {
  const asked: string[] = []
  const spy = vi.spyOn(globalThis, 'fetch').mockImplementation(async input => {
    const url = String(input instanceof Request ? input.url : input)
    asked.push(url)
    return Response.json({ keys: sets[url] ?? [keys.attacker.jwk] })
  })
  return { asked, [Symbol.dispose]: () => spy.mockRestore() }
}

/** A verifier whose clock stands at noon. */
export function verifierOf(create: Create, { issuers, ...options }: Options = {}) {
  const rest = { now: () => noon * 1000, ...options }
  return create(issuers ? { ...rest, issuers } : { issuer, audience: issuer, ...rest })
}

/** `accepted`, the reason of the refusal, or another error. */
export async function outcomeOf(verifier: Verifier, text: string): Promise<string> {
  try {
    await verifier.verify(text)
    return 'accepted'
  } catch (error) {
    return reasonOf(error)
  }
}

/** Not by `instanceof`: a mutant of the verifier has its own class. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'reason' in error ? String(error.reason) : `${error.name}: ${error.message}`
}

/** Tries a token twice while a good one is cached. It must not change the state of the verifier. */
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

/** How many fetches are allowed: one for an unknown kid, and one each time for a token without a kid. */
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

/** Whether the printed error, with causes and hidden properties, contains the token or a claim. */
function tells(error: unknown, text: string): boolean {
  const printed = inspect(error, {
    depth: null,
    showHidden: true,
    maxStringLength: null,
    maxArrayLength: null,
  })
  return [secret, ...text.split('.').filter(part => part.length >= 16)].some(part => printed.includes(part))
}
