import { knownCases } from './known.js'
import { knownUserCases } from './known-users.js'
import { type Case, ofToken } from './token-case.js'
import { algorithmCases } from './tokens-algorithms.js'
import { claimCases } from './tokens-claims.js'
import { formCases } from './tokens-form.js'
import { keyAndSignatureCases } from './tokens-keys.js'

/** Everything that is tried with a token. */
export const cases: Case[] = [
  ...[...algorithmCases, ...keyAndSignatureCases, ...formCases, ...claimCases].map(ofToken),
  ...knownCases,
  ...knownUserCases,
]
