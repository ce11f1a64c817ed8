import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { concurrency, floods } from './floods.js'
import { outages, retryAfter, rotations, suspended } from './outages.js'

const cases = { ...rotations, ...outages, ...suspended, ...retryAfter, ...floods, ...concurrency }

test.each(Object.entries(cases))('%s', (_, check) => check(createVerifier))
