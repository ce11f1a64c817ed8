import { type Mutant, mutant } from './mutant.js'

const inRemoteKeys = inFile('keys/remote-keys')
const inSingleFlight = inFile('keys/single-flight')
const inKnownKeys = inFile('keys/known-keys')
const inFetch = inFile('keys/key-fetch')
const inKeys = inFile('keys/signing-keys')
const inBackOff = inFile('keys/fetch-limits')
const inDiscovery = inFile('keys/discovery')

/** Rules that are removed, one at a time, and the case that notices. */
export const keySetMutants: [rule: string, mutant: Mutant, notices: string][] = [
  [
    'invented kids are asked about out of a bucket',
    inRemoteKeys('this.#backOffLeft() === 0 && this.#bucket.take()', 'this.#backOffLeft() === 0'),
    'a flood from a cold start costs no more',
  ],
  [
    'a kid is not asked about twice in ten seconds',
    inRemoteKeys('if (hint.kid !== undefined) this.#unknownKids.set(hint.kid, this.#now())', ''),
    'a kid that the issuer does not have is asked about once in ten seconds',
  ],
  [
    'while nobody may be asked, a kid is not unknown',
    inRemoteKeys(
      '!this.#mayAskIssuer()) throw this.#unavailable()',
      `!this.#mayAskIssuer()) throw new TokenError('unknown_key')`,
    ),
    'a new key in the midst of a flood is unavailable for a while, never unknown, and then found',
  ],
  [
    'signatures that fail are asked about out of the bucket',
    inRemoteKeys('(this.#age() > replacedKeyAge && this.#mayAskIssuer())', 'true'),
    'a flood of signatures that fail under a known kid costs as many fetches',
  ],
  [
    'many ask at once, one fetches',
    inSingleFlight('if (!this.isRunning) this.#latest', 'this.#latest'),
    '1,000 callers at once before there are keys cost one fetch',
  ],
  [
    'a fetch that seemed lost is no verdict',
    inSingleFlight('if (!isLatest()) await this.#latest', ''),
    'a fetch that seemed lost and fails is no verdict on a new key: the one after it is',
  ],
  [
    'a set is refreshed before it is stale',
    inRemoteKeys('const refreshAfter = 0.8', 'const refreshAfter = 1'),
    'with nothing said of caching, keys are fresh for between one minute and fifteen',
  ],
  [
    'known keys are kept while the issuer fails',
    inRemoteKeys('Math.max(this.#options.maxStale, this.#freshFor)', 'this.#freshFor'),
    'an issuer that is stopped for 23 hours costs nobody with a known key anything',
  ],
  [
    'nobody with a known key waits after a silence',
    inRemoteKeys('this.#fetch.isLost && this.#age()', 'this.#age()'),
    'a caller with a known key waits for no refresh after a silence, and its key counts a minute more where it has left',
  ],
  [
    'an issuer without any key knows no token',
    inRemoteKeys('if (this.#keys.size === 0) throw this.#unavailable()\n    if (hint.kid', 'if (hint.kid'),
    'an issuer that has no key yet is an outage, and asked for each new token',
  ],
  [
    'known keys are kept for a day, no longer',
    inRemoteKeys('this.#age() <= Math.max(this.#options.maxStale, this.#freshFor)', 'this.#keys.size > 0'),
    'after a day without the issuer its keys are unavailable, until it is back',
  ],
  [
    'a problem is told once',
    inRemoteKeys('if (this.#reported.has(problem.message)) return', ''),
    'an hour of status 500 in place of the keys changes nothing, and is told once',
  ],
  [
    'an issuer that fails is left alone for longer each time',
    inBackOff('minBackOff * 2 ** (failures - 1)', 'minBackOff'),
    'an issuer that never answered is asked as seldom, however many ask for keys',
  ],
  [
    'an issuer is left alone for as long as it asks',
    inBackOff('Math.max(delay, Math.min(retryAfter ?? 0, maxRetryAfter))', 'delay'),
    'an issuer whose 429 asks for a date is left alone for so long, and then asked',
  ],
  [
    'an issuer cannot ask to be left alone for ever',
    inBackOff('Math.min(retryAfter ?? 0, maxRetryAfter)', 'retryAfter ?? 0'),
    'an issuer whose 429 asks for a year is left alone for so long, and then asked',
  ],
  [
    'a key that was removed counts for a minute more',
    inKnownKeys('const removedKeyLifetime = 60_000', 'const removedKeyLifetime = 0'),
    'a new key counts at once, the one before it for a minute after it left, with what it has proven',
  ],
  [
    'a key that was removed counts for a minute, no longer',
    inKnownKeys('const removedKeyLifetime = 60_000', 'const removedKeyLifetime = 3_600_000'),
    'a new key counts at once, the one before it for a minute after it left, with what it has proven',
  ],
  [
    'a set is replaced whole',
    inKnownKeys(
      'const next = new Map(keys.map(',
      'const next = new Map([...this.#current.values(), ...keys].map(',
    ),
    'a key that was replaced under its kid counts for a minute more, and no longer',
  ],
  [
    'a verdict falls with its key',
    inFile('token-cache')(' && verified.issuer.keys.isTrusted(verified.key)', ''),
    'a new key counts at once, the one before it for a minute after it left, with what it has proven',
  ],
  [
    'an answer has a longest length',
    inFetch('bytes > maxBytes', 'false'),
    'an hour of a set of a byte more than 256 kB in place of the keys changes nothing, and is told once',
  ],
  [
    'a set has a greatest number of keys',
    inFetch('list.length > maxKeys', 'false'),
    'an hour of a set of 101 keys in place of the keys changes nothing, and is told once',
  ],
  [
    'a good answer is a 200',
    inFetch('status !== 200', 'status >= 300'),
    'an hour of status 206 in place of the keys changes nothing, and is told once',
  ],
  [
    'a redirect is not followed',
    inFetch(`redirect: 'manual'`, `redirect: 'follow'`),
    'a redirect (302) is not followed',
  ],
  [
    'a good answer has a key that can verify',
    inFetch('if (keys.length === 0)', 'if (false)'),
    'an hour of a set with no key that we know in place of the keys changes nothing, and is told once',
  ],
  [
    'a set may not stay fresh for long',
    inFetch('Math.min(maxFreshness, ', 'Math.max(0, '),
    'with max-age=999999 of caching, keys are fresh for between one minute and fifteen',
  ],
  [
    'a private key refuses the whole set',
    inKeys('if (isPrivate(jwk))', 'if (false)'),
    'an hour of a key with its d in place of the keys changes nothing, and is told once',
  ],
  [
    'a key is bound to its alg',
    mutant('server/verifier/token/algorithms.ts', 'alg === undefined || algorithm === alg', 'true'),
    'a key that is bound to RS256, for PS256, beside a good one',
  ],
  [
    'a key of RSA has 2048 bits',
    inKeys('bits < minRsaBits || ', ''),
    'a key of RSA with 1024 bits, beside a good one',
  ],
  [
    'a key of RSA has no exponent of 1',
    inKeys(' || isOne', ''),
    'a key of RSA with the exponent 1, beside a good one',
  ],
  [
    'no Ed25519 point of small order',
    inKeys(' || (await hasSmallOrder(key))', ''),
    'a key that is a point of small order, 01000000..., sign 0, beside a good one',
  ],
  [
    'no RSA exponent above 32 bits',
    inKeys(' || isLong', ''),
    'a key of RSA with an exponent of 33 bits, beside a good one',
  ],
  [
    'a key for encrypting does not verify',
    inKeys(`if (use !== undefined && use !== 'sig') return []`, ''),
    'a key for encrypting, beside a good one',
  ],
  [
    'a key without verify among its key_ops does not verify',
    inKeys('if (uses !== undefined && ', 'if (false && '),
    'a key whose key_ops lack verify, beside a good one',
  ],
  [
    'metadata are of the issuer itself',
    inDiscovery('metadata.issuer !== issuer', 'false'),
    'metadata of another issuer',
  ],
  [
    'metadata cannot name an unsafe place',
    inDiscovery('return checkUrl(keysUrl, metadataUrl)', 'return new URL(keysUrl)'),
    'metadata with keys in the URL',
  ],
  [
    'a private key is no option',
    inFile('trusted-issuer')(`'k' in jwk || isPrivate(jwk)`, 'false'),
    'a private key, given as an option',
  ],
]

function inFile(name: string) {
  return (from: string, to: string): Mutant => mutant(`server/verifier/${name}.ts`, from, to)
}
