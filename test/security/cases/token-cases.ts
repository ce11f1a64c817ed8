import { knownCases } from './cached-tokens.js'
import { knownUserCases } from './cached-users.js'
import { algorithmCases } from './token-algorithms.js'
import { type Case, ofToken } from './token-case.js'
import { claimCases } from './token-claims.js'
import { formCases } from './token-form.js'
import { keyAndSignatureCases } from './token-keys.js'

/** All cases of tokens. */
export const cases: Case[] = [
  ...[...algorithmCases, ...keyAndSignatureCases, ...formCases, ...claimCases].map(ofToken),
  ...knownCases,
  ...knownUserCases,
]
