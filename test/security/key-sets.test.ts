import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { keySetCases } from './cases/key-set-cases.js'

test.each(Object.entries(keySetCases))('%s', (_, check) => check(createVerifier))
