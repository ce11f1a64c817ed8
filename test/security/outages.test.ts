import { test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { outageCases } from './cases/key-set-cases.js'

test.each(Object.entries(outageCases))('%s', (_, check) => check(createVerifier))
