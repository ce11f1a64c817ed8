import { concurrency, floods } from './floods.js'
import { badAnswers, goodAnswers, redirects } from './key-set-answers.js'
import { cacheControl, discovery, givenKeys } from './key-set-options.js'
import { outages, retryAfter, rotations, suspended } from './outages.js'
import { keysBeside } from './published-keys.js'

/** What an issuer or its operator can do with a key set. */
export const keySetCases = {
  ...keysBeside,
  ...badAnswers,
  ...goodAnswers,
  ...redirects,
  ...cacheControl,
  ...givenKeys,
  ...discovery,
}

/** What happens while the issuer is away or changes its keys. */
export const outageCases = {
  ...rotations,
  ...outages,
  ...suspended,
  ...retryAfter,
  ...floods,
  ...concurrency,
}
