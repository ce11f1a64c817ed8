import { type CryptoKey, compactVerify, errors } from 'jose'
import type { KeyHint, KeySource } from '../keys/key-source.js'
import type { SigningKey } from '../keys/signing-keys.js'
import { TokenError } from '../token-error.js'

/** An issuer that publishes many keys under one kid must not make each of its tokens cost a verification by every one. */
const maxTried = 4

/**
 * Verifies the signature of a token (RFC 7515 section 5.2) with the keys that match its header, and returns the key that signed it.
 * If none did, the keys that the issuer has replaced since are tried. Of both, the first four are tried.
 *
 * @throws TokenError `signature`, `unknown_key` or `keys_unavailable`
 */
export async function verifySignature(token: string, hint: KeyHint, keys: KeySource): Promise<SigningKey> {
  const candidates = await keys.find(hint)
  const signer =
    (await findSigner(token, hint, candidates)) ??
    (await findSigner(token, hint, await keys.findReplaced(hint, candidates)))
  if (signer === undefined) throw new TokenError('signature')
  return signer
}

async function findSigner(token: string, { alg }: KeyHint, candidates: readonly SigningKey[]) {
  for (const candidate of candidates.slice(0, maxTried)) {
    const key = candidate.forms.get(alg)
    if (key !== undefined && (await isSignedWith(token, key, alg))) return candidate
  }
  return undefined
}

async function isSignedWith(token: string, key: CryptoKey, alg: string): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [alg] })
    return true
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return false
    throw new TokenError('malformed', { cause: error })
  }
}
