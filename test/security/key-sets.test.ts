import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { someOf } from '../parts/some-of.js'
import { keySetCases } from './cases/key-set-cases.js'

test.each(someOf(Object.entries(keySetCases), 3))('%s', (_, check) => check(createVerifier))
