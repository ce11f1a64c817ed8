import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { keySetCases } from './key-set-cases.js'

test.each(Object.entries(keySetCases))('%s', (_, check) => check(createVerifier))
