import { mutant, type TokenMutant } from './mutant.js'

const create = 'server/verifier/create-verifier.ts'
const cache = 'server/verifier/verdict-cache.ts'
const freeze = 'server/verifier/deep-freeze.ts'
const signing = 'server/verifier/keys/signing-keys.ts'

/** The cache with only a part of the token as its key. */
const cachedBy = (part: string) =>
  mutant(
    cache,
    'new LRUCache<string, { verdict: Verdict; since: number }>(',
    `new (class extends LRUCache<string, { verdict: Verdict; since: number }> {
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
      '    const key = await signerOf(',
      "    cache?.set(token, { claims: parsed.claims, user: { id: String(parsed.claims.sub) }, key: { id: 'x' }, issuer: { ...issuer, keys: { ...issuer.keys, refresh() {}, isLive: () => true } } })\n    const key = await signerOf(",
    ),
    "somebody else's key under a known kid",
    'signature, accepted the second time',
  ],
  [
    'times are judged on every request',
    mutant(create, '    judge(verdict.claims, verdict.issuer)\n'),
    'known: expired since',
    'accepted',
  ],
  [
    'what is under way is forgotten when it is done',
    mutant('server/verifier/once-at-a-time.ts', 'if (underWay.peek(token) === own) underWay.delete(token)'),
    'known: expired since, and forgotten',
    'accepted',
  ],
  [
    'a proof falls with its key',
    mutant(cache, ' && verdict.issuer.keys.isLive(verdict.key)'),
    'known: the key has left, a minute ago',
    'accepted',
  ],
  [
    'users are frozen',
    mutant(create, 'frozenCopy(await userOf(claims, user)) ?? null', 'await userOf(claims, user)'),
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
    mutant(freeze, 'if (seen.has(value)) return true', 'if (seen.size >= 0) return true'),
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
    mutant(create, "if (onRevocationError === 'accept') return false", 'return false'),
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
