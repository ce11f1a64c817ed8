import { badAnswers, goodAnswers, redirects } from './bad-answers.js'
import { concurrency, floods } from './floods.js'
import { cacheControl, discovery, givenKeys } from './key-set-options.js'
import { keysBeside } from './keys-beside.js'
import { outages, retryAfter, rotations, suspended } from './outages.js'

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
