import { concurrency, floods } from './floods.js'
import { badAnswers, goodAnswers, redirects } from './key-set-answers.js'
import { cacheControl, discovery, givenKeys } from './key-set-options.js'
import { outages, retryAfter, rotations, suspended } from './outages.js'
import { keysBeside } from './published-keys.js'

/** Everything that an issuer, or its operator, may do with a key set. */
export const keySetCases = {
  ...keysBeside,
  ...badAnswers,
  ...goodAnswers,
  ...redirects,
  ...cacheControl,
  ...givenKeys,
  ...discovery,
}

/** Everything that happens to a server while its issuer is away, or changes its keys. */
export const outageCases = {
  ...rotations,
  ...outages,
  ...suspended,
  ...retryAfter,
  ...floods,
  ...concurrency,
}
