import { expect, test } from 'vitest'
import { betterAuthToken } from '../../client/index.js'

test.each([
  ['nothing', { data: null, error: null }, 'no data'],
  ['null', null, 'no data'],
  ['an empty object', { data: {}, error: null }, 'an object'],
  ['an empty token', { data: { token: '' }, error: null }, 'an object'],
  ['a token that is not a string', { data: { token: 1 }, error: null }, 'an object'],
  ['a page', { data: '<h1>Back soon</h1>', error: null }, 'a string'],
])('a 200 with %s is an error, not a sign-out', async (_, answer, found) => {
  const getToken = betterAuthToken({ token: async () => answer })
  await expect(getToken()).rejects.toThrow(`returned no token (an answer with ${found} and no token). Check`)
})
