import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { concurrency, floods } from './floods.js'
import { outages, retryAfter, rotations } from './outages.js'

const cases = { ...rotations, ...outages, ...retryAfter, ...floods, ...concurrency }

test.each(Object.entries(cases))('%s', (_, check) => check(createVerifier))
