import { expect, test } from 'vitest'
import { betterAuthToken } from '../../client/index.js'

test.each([
  ['nothing', { data: null, error: null }],
  ['an empty object', { data: {}, error: null }],
  ['an empty token', { data: { token: '' }, error: null }],
  ['a token that is not a string', { data: { token: 1 }, error: null }],
  ['a page', { data: '<h1>Back soon</h1>', error: null }],
])('a 200 with %s is an error, not a sign-out', async (_, answer) => {
  // As text, because the types do not allow such an answer.
  const getToken = betterAuthToken({ token: async () => JSON.parse(JSON.stringify(answer)) })
  await expect(getToken()).rejects.toThrow('Better Auth returned no token (an answer without a token). Check')
})
