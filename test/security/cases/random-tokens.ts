import fc from 'fast-check'
import { type Create, outcomeOf, severalIssuers, verifierOf } from './token-case.js'
import { base64url, issuer, keys, noon, theirs, token, withParts } from './token-fixtures.js'

/** Valid tokens of each key of both issuers, for two users. */
const tokens = await Promise.all(
  ['alice', 'bob'].flatMap(sub => [
    ...[keys.ed, keys.ed2, keys.p256, keys.p521, keys.ps, keys.rs].map(key => token({ sub }, {}, key)),
    token({ ...theirs, sub }, {}, keys.theirEd),
  ]),
)
const known = fc.constantFrom(...tokens)

/** How many valid and invalid tokens a property has tried. */
export interface Tried {
  accepted: number
  refused: number
}

/** A random change of tokens that must not be accepted unless the token is still valid. */
export interface Mutation {
  name: string
  property(create: Create, tried: Tried): Promise<fc.IAsyncProperty<unknown>>
}

/** A token made from one or two cached tokens, and whether it equals one of them. */
function ofKnown(name: string, made: fc.Arbitrary<{ text: string; isGood: boolean }>): Mutation {
  return {
    name,
    async property(create, tried) {
      const verifier = verifierOf(create, severalIssuers)
      const users = await Promise.all(tokens.map(verifier.verify))
      return fc.asyncProperty(made, async ({ text, isGood }) => {
        tried[isGood ? 'accepted' : 'refused']++
        if (((await outcomeOf(verifier, text)) === 'accepted') !== isGood) return false
        // The cached tokens still give the same users.
        const index = tried.refused % tokens.length
        return (await verifier.verify(tokens[index] ?? '')) === users[index]
      })
    },
  }
}

// The last characters have unused bits, and random positions hit them too seldom.
const positions = fc.oneof(fc.nat(), fc.integer({ min: -2, max: -1 }))
const characterFlipped = fc.tuple(known, positions, fc.nat(7)).map(([text, at, bit]) => {
  const index = at < 0 ? text.length + at : at % text.length
  const flipped = String.fromCharCode(text.charCodeAt(index) ^ (1 << bit))
  return { text: text.slice(0, index) + flipped + text.slice(index + 1), isGood: false }
})

const names = fc.constantFrom('header' as const, 'claims' as const, 'signature' as const)
const contentFlipped = fc.tuple(known, names, fc.nat()).map(([text, name, at]) => {
  const [header = '', payload = '', signature = ''] = text.split('.')
  const bytes = Buffer.from({ header, claims: payload, signature }[name], 'base64url')
  const bit = at % (bytes.length * 8)
  bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
  return { text: withParts(text, { [name]: base64url(bytes) }), isGood: false }
})

const origins = fc.array(fc.boolean(), { minLength: 3, maxLength: 3 })
const partsSwapped = fc.tuple(known, known, origins).map(([one, another, fromOther]) => {
  const others = another.split('.')
  const text = one
    .split('.')
    .map((part, index) => (fromOther[index] ? others[index] : part))
    .join('.')
  return { text, isGood: text === one || text === another }
})

const orders = fc.array(fc.nat(2), { maxLength: 5 })
const partsReordered = fc.tuple(known, orders).map(([one, order]) => {
  const parts = one.split('.')
  const text = order.map(index => parts[index]).join('.')
  return { text, isGood: text === one }
})

const claimNames = fc.constantFrom(
  ...['iss', 'aud', 'exp', 'nbf', 'iat', 'sub', 'iss', 'aud', 'exp', 'nbf', 'iat', 'sub'],
  ...['email', 'name', 'scope', 'jti', 'azp', '__proto__', 'toString'],
)
const usual = [
  issuer,
  [issuer],
  [issuer, 'https://other.example.com'],
  [issuer, 1],
  [],
  {},
  [noon],
  String(noon),
]
const subjects = ['ali\0ce', 'x'.repeat(255), 'x'.repeat(256), '🦊'.repeat(255), '🦊'.repeat(256)]
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(...usual, ...subjects),
  fc.integer({ min: -20, max: 20 }).map(seconds => noon + seconds),
)

const mayBeginAt = (value: unknown) => typeof value === 'number' && value <= noon + 5

/** The claim rules, written in another way: which values a token may have. */
const holds = new Map<string, (value: unknown) => boolean>([
  ['iss', value => value === issuer],
  ['aud', value => [value].flat().includes(issuer) && [value].flat().every(one => typeof one === 'string')],
  ['exp', value => typeof value === 'number' && value > noon - 5],
  ['nbf', mayBeginAt],
  ['iat', mayBeginAt],
  ['sub', value => typeof value === 'string' && /^[^\0]{1,255}$/u.test(value) && value.isWellFormed()],
])

const claimChanged: Mutation = {
  name: 'a claim of another type or value, signed by the issuer',
  async property(create, tried) {
    const verifier = verifierOf(create)
    return fc.asyncProperty(claimNames, anything, async (name, value) => {
      const isGood = holds.get(name)?.(value) ?? true
      tried[isGood ? 'accepted' : 'refused']++
      const text = await token(Object.fromEntries([[name, value]]))
      return ((await outcomeOf(verifier, text)) === 'accepted') === isGood
    })
  },
}

export const mutations: Mutation[] = [
  ofKnown('one bit of its characters flipped', characterFlipped),
  ofKnown('one bit of its header, claims or signature flipped', contentFlipped),
  ofKnown('parts of one token and of another', partsSwapped),
  ofKnown('parts in another order, left out or twice', partsReordered),
  claimChanged,
]
