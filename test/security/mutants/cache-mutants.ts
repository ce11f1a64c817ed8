import { mutant, type TokenMutant } from './mutant.js'

const create = 'server/verifier/create-verifier.ts'
const cache = 'server/verifier/token-cache.ts'
const freeze = 'server/verifier/deep-freeze.ts'
const hooks = 'server/verifier/hooks.ts'
const signing = 'server/verifier/keys/signing-keys.ts'

/** The cache with only a part of the token as its key. */
const cachedBy = (part: string) =>
  mutant(
    cache,
    'new LruMap<string, { verified: VerifiedToken; since: number }>(',
    `new (class extends LruMap<string, { verified: VerifiedToken; since: number }> {
      get(token) { return super.get(${part}) }
      set(token, entry) { return super.set(${part}, entry) }
    })(`,
  )

/** Rules of the cache and of the users it returns, each with a case that needs it. */
export const cacheMutants: TokenMutant[] = [
  [
    'the cache knows whole tokens',
    cachedBy("token.split('.')[1]"),
    "a known token's signature changed",
    'accepted',
  ],
  [
    'the cache knows whole tokens, not their signatures',
    cachedBy("token.split('.')[2]"),
    "a known token's claims changed",
    'accepted',
  ],
  [
    'only proofs are remembered',
    mutant(
      create,
      '    const key = await verifySignature(',
      "    cache?.set(token, { claims: parsed.claims, user: { id: String(parsed.claims.sub) }, key: { id: 'x' }, issuer: { ...issuer, keys: { ...issuer.keys, refresh() {}, isTrusted: () => true } } })\n    const key = await verifySignature(",
    ),
    "somebody else's key under a known kid",
    'signature, accepted the second time',
  ],
  [
    'times are judged on every request',
    mutant(create, '    checkTimes(verified.claims, { clockTolerance, maxTokenAge }, seconds())\n'),
    'known: expired since',
    'accepted',
  ],
  [
    'a proof falls with its key',
    mutant(cache, ' && verified.issuer.keys.isTrusted(verified.key)'),
    'known: the key has left, a minute ago',
    'accepted',
  ],
  [
    'users are frozen',
    mutant(create, 'frozenCopy(await makeUser(claims, user)) ?? null', 'await makeUser(claims, user)'),
    'known: a request changes its user',
    'admin, Alice',
  ],
  [
    'users are frozen through and through',
    mutant(freeze, '  for (const member of Object.values(value)) deepFreeze(member)\n'),
    'known: a request changes a list deep in its user',
    'another',
  ],
  [
    'users are copied',
    mutant(freeze, 'structuredClone(value)', 'value'),
    'known: what a user refers to stays its owner’s to change',
    'frozen',
  ],
  [
    'what cannot be frozen is made anew',
    mutant(freeze, 'prototype !== Object.prototype && prototype !== Array.prototype', 'false'),
    'known: a request changes a Date in its user',
    'another',
  ],
  [
    'claims are frozen',
    mutant(create, '    deepFreeze(claims)\n'),
    'known: the hook changes its claims',
    'accepted',
  ],
  [
    'revocation is asked on every request',
    mutant(
      create,
      'if (isRevoked !== undefined) await',
      'if (isRevoked !== undefined && cache?.get(token) === undefined) await',
    ),
    'known: revoked since',
    'accepted',
  ],
  [
    'revocation that cannot say refuses',
    mutant(hooks, "if (onRevocationError === 'accept') return false", 'return false'),
    'nobody knows whether revoked',
    'accepted',
  ],
  [
    'private keys are no public ones',
    mutant(signing, 'name => name in jwk', '() => false'),
    'a private key given for a public one',
    'accepted',
  ],
]
