import type { User } from '../../../shared/user.js'
import { createClock } from '../../parts/clock.js'
import {
  type Case,
  type Create,
  type Options,
  outcomeOf,
  reasonOf,
  stubKeySets,
  verifierOf,
} from './token-case.js'
import { good, issuer, keys, noon, published, token, withSignature } from './token-fixtures.js'

const { ed, p256 } = keys

/** A verifier with a clock that the case moves. */
function atNoon(create: Create, options: Options = {}) {
  const clock = createClock(noon)
  return { clock, verifier: verifierOf(create, { now: clock.now, ...options }) }
}

/** The outcome, some time later, of a token that was accepted at noon. */
const later =
  (make: () => Promise<string>, seconds: number, options?: Options): Case[2] =>
  async create => {
    using _ = stubKeySets()
    const { clock, verifier } = atNoon(create, options)
    const text = await make()
    await verifier.verify(text)
    clock.at += seconds
    return await outcomeOf(verifier, text)
  }

const short = () => token({ exp: noon + 30 })
const cachedForAnHour: Options = { cache: { maxAge: 3_600 } }

/** Accepted tokens, verified again: only the proof of the signature is cached. */
export const knownCases: Case[] = [
  ['known: not yet expired', 'accepted', later(short, 34)],
  ['known: expired since', 'expired', later(short, 35)],
  ['known: expired since, and forgotten', 'expired', later(short, 120)],
  ['known: too old since', 'expired', later(() => token(), 50, { maxTokenAge: 40 })],
  ['known: revoked since', 'revoked', afterwards(() => true)],
  [
    'known: nobody knows since whether revoked',
    'revocation_unavailable',
    afterwards(() => Promise.reject(new Error('Away.'))),
  ],
  ['known: the key has left, a minute ago', 'unknown_key', leftFor(61)],
  ['known: the key has left, within a minute', 'accepted', leftFor(30)],
  ['known: a request changes its user', 'alice, Alice', changesUser],
  ['known: the hook changes its claims', 'expired', changesClaims],
  ['refused: not valid then, but now', 'accepted', refusedThenValid],
  ['refused: ten at once', 'signature', tenAtOnce],
  [
    'a private key given for a public one',
    'TypeError: The keys must be public keys: one of them is private.',
    privateGiven,
  ],
]

function afterwards(isRevoked: () => boolean | Promise<boolean>): Case[2] {
  return async create => {
    using _ = stubKeySets()
    let isOver = false
    const verifier = verifierOf(create, { isRevoked: () => isOver && isRevoked() })
    await verifier.verify(good)
    isOver = true
    return await outcomeOf(verifier, good)
  }
}

/** The issuer removes the key of a cached token, and the verifier refreshes when that is due. */
function leftFor(seconds: number): Case[2] {
  return async create => {
    const sets = { ...published }
    using _ = stubKeySets(sets)
    const background: Promise<void>[] = []
    const waitUntil = (refresh: Promise<void>) => void background.push(refresh)
    const { clock, verifier } = atNoon(create, { ...cachedForAnHour, waitUntil })
    const text = await token({ exp: noon + 3_600 })
    await verifier.verify(text)
    sets[`${issuer}/api/auth/jwks`] = [p256.jwk]
    clock.at += 301
    await verifier.verify(text)
    await Promise.all(background)
    clock.at += seconds
    return await outcomeOf(verifier, text)
  }
}

async function changesUser(create: Create): Promise<string> {
  using _ = stubKeySets()
  const verifier = verifierOf(create)
  const text = await token({ name: 'Alice' })
  const user: User = await verifier.verify(text)
  Reflect.set(user, 'id', 'admin')
  const { id, name } = await verifier.verify(text)
  return `${id}, ${name}`
}

async function changesClaims(create: Create): Promise<string> {
  using _ = stubKeySets()
  const isRevoked: Options['isRevoked'] = claims => !Reflect.set(claims, 'exp', noon + 9_000) && false
  const { clock, verifier } = atNoon(create, { isRevoked })
  const text = await short()
  await verifier.verify(text)
  clock.at += 50
  return await outcomeOf(verifier, text)
}

async function refusedThenValid(create: Create): Promise<string> {
  using _ = stubKeySets()
  const { clock, verifier } = atNoon(create)
  const text = await token({ nbf: noon + 30 })
  const early = await outcomeOf(verifier, text)
  clock.at += 30
  const due = await outcomeOf(verifier, text)
  return early === 'not_yet_valid' ? due : early
}

async function tenAtOnce(create: Create): Promise<string> {
  using _ = stubKeySets()
  const verifier = verifierOf(create)
  const bad = withSignature(good, bytes => bytes.toReversed())
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => outcomeOf(verifier, bad)))
  return [...new Set(outcomes)].join(', ')
}

async function privateGiven(create: Create): Promise<string> {
  try {
    return await outcomeOf(verifierOf(create, { keys: [{ ...ed.jwk, ...ed.privateJwk }] }), good)
  } catch (error) {
    return reasonOf(error)
  }
}
