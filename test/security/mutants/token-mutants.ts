import { cacheMutants } from './cache-mutants.js'
import { mutant, type TokenMutant } from './mutant.js'

const create = 'server/verifier/create-verifier.ts'
const rules = 'server/verifier/token/claims.ts'
const signature = 'server/verifier/token/signature.ts'
const form = 'server/verifier/token/compact-token.ts'
const json = 'server/verifier/token/json.ts'
const source = 'server/verifier/keys/key-source.ts'
const algorithms = 'server/verifier/token/algorithms.ts'

const verifyMutants: TokenMutant[] = [
  [
    'the signature is verified',
    mutant(
      signature,
      'JWSSignatureVerificationFailed) return false',
      'JWSSignatureVerificationFailed) return true',
    ),
    "somebody else's key under a known kid",
    'accepted',
  ],
  [
    'claims are judged',
    mutant(create, '    checkClaims(claims, { ...issuer, clockTolerance, maxTokenAge }, seconds())\n'),
    'another iss',
    'accepted',
  ],
  [
    'the list of algorithms is the issuer’s own',
    mutant(create, 'isAlgorithm(alg) && issuer.algorithms.has(alg)', 'isAlgorithm(alg)'),
    'an algorithm that is not of the list',
    'accepted',
  ],
  [
    "a key's own alg binds it",
    mutant(algorithms, 'alg === undefined || algorithm === alg', 'true'),
    'PS256 with a key for RS256',
    'accepted',
  ],
  [
    'the kid chooses the key',
    mutant(source, '(kid === undefined || key.kid === kid)', 'true'),
    'the kid of another key',
    'accepted',
  ],
  [
    'a missing kid counts where one key alone fits',
    mutant(source, 'hint.kid === undefined && found.length > 1', 'false'),
    'no kid, and two keys that fit',
    'accepted',
  ],
  [
    'no crit and no b64',
    mutant(form, 'crit !== undefined || b64 !== undefined', 'false'),
    'b64 false without crit',
    'accepted',
  ],
  [
    'base64url has one form',
    mutant(form, 'base64url.encode(bytes) !== part', 'false'),
    'a signature with spare bits, EdDSA',
    'accepted',
  ],
  [
    '16,384 characters at most',
    mutant(form, 'token.length > maxTokenLength', 'false'),
    '16,385 characters',
    'accepted',
  ],
  [
    'no member twice',
    mutant(json, 'hasDuplicates(text)', 'false'),
    'sub twice, once with an escape',
    'accepted',
  ],
  ['UTF-8 only', mutant(json, 'fatal: true', 'fatal: false'), 'a byte that is not UTF-8', 'accepted'],
  [
    'no byte order mark',
    mutant(json, 'ignoreBOM: true', 'ignoreBOM: false'),
    'a BOM before the claims',
    'accepted',
  ],
  ['typ is one of ours', mutant(create, '!types.has(mediaType(typ))', 'false'), 'typ at+jwt', 'accepted'],
  ['iss', mutant(rules, '!rules.isIssuer(iss)', 'false'), 'another iss', 'accepted'],
  ['aud', mutant(rules, '!isFor(aud, audiences)', 'false'), 'another aud', 'accepted'],
  [
    'aud is a text or a list of texts',
    mutant(rules, "list.every(one => typeof one === 'string') && "),
    'our aud in a list with an object',
    'accepted',
  ],
  [
    'exp is required',
    mutant(rules, "if (exp === undefined) throw new TokenError('claims', { claim: 'exp' })"),
    'no exp',
    'accepted',
  ],
  ['exp', mutant(rules, 'exp <= now - clockTolerance', 'false'), 'an exp an hour ago', 'accepted'],
  [
    'the tolerance ends when it is over',
    mutant(rules, 'exp <= now - clockTolerance', 'exp < now - clockTolerance'),
    'an exp 5 seconds ago',
    'accepted',
  ],
  [
    'nbf',
    mutant(rules, 'nbf !== undefined && nbf > now', 'false && nbf > now'),
    'an nbf in 6 seconds',
    'accepted',
  ],
  [
    'iat',
    mutant(rules, 'iat !== undefined && iat > now', 'false && iat > now'),
    'an iat in 6 seconds',
    'accepted',
  ],
  [
    'an age needs an iat',
    mutant(rules, "if (iat === undefined) throw new TokenError('claims', { claim: 'iat' })"),
    'no iat, where its age counts',
    'accepted',
  ],
  [
    'times are finite numbers',
    mutant(rules, ' || !Number.isFinite(time)'),
    'an exp beyond all numbers',
    'accepted',
  ],
  [
    'sub is a text of 1 to 255 characters',
    mutant(rules, "if (!userId.safeParse(sub).success) throw new TokenError('claims', { claim: 'sub' })"),
    'no sub, where the user is made of another claim',
    'accepted',
  ],
  [
    'of several issuers each has its own keys',
    mutant(
      create,
      'const key = await verifySignature(token, { kid, alg }, issuer.keys)',
      'const key = await Promise.any(issuers.map(one => verifySignature(token, { kid, alg }, one.keys)))',
    ),
    "two issuers: the second's name, the first's key",
    'accepted',
  ],
  [
    'of several issuers each has its own audience',
    mutant(
      create,
      '{ ...issuer, clockTolerance,',
      '{ ...issuer, audiences: issuers.flatMap(one => one.audiences ?? []), clockTolerance,',
    ),
    "two issuers: the second's token for the first's audience",
    'accepted',
  ],
  [
    'an error quotes nothing of the token',
    mutant(json, "throw new SyntaxError('Not JSON.')", 'return JSON.parse(text)'),
    'claims that are a password',
    'malformed, and the error tells of the token',
  ],
]

/** Rules of the verifier, each with a case that needs it. */
export const tokenMutants: TokenMutant[] = [...verifyMutants, ...cacheMutants]
