import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { badAnswers, goodAnswers, redirects } from './bad-answers.js'
import { cacheControl, discovery, givenKeys } from './key-set-options.js'
import { keysBeside } from './keys-beside.js'

const cases = {
  ...keysBeside,
  ...badAnswers,
  ...goodAnswers,
  ...redirects,
  ...cacheControl,
  ...givenKeys,
  ...discovery,
}

test.each(Object.entries(cases))('%s', (_, check) => check(createVerifier))
