import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { TokenKeeper } from '../../client/token-keeper.js'

const encode = (claims: object) => Buffer.from(JSON.stringify(claims)).toString('base64url')
const tokenOf = (claims: object) => `e30.${encode(claims)}.c2ln`

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2030-06-01T12:00:00Z') })
})
afterEach(() => vi.useRealTimers())

describe.each([
  ['right', 0],
  ['an hour behind', 3_600],
  ['an hour ahead', -3_600],
])('with a device clock that is %s', (_, ahead) => {
  test.each([
    [900, 870],
    [90, 60],
    [60, 40],
    [30, 20],
    [10, 20 / 3],
  ])('a token that lives %d seconds is renewed after %d', async (life, renewed) => {
    const getToken = vi.fn(() => {
      const iat = Date.now() / 1_000 + ahead
      return tokenOf({ sub: 'alice', iat, exp: iat + life })
    })
    const tokens = new TokenKeeper(getToken, true)
    await tokens.current()
    vi.setSystemTime(Date.now() + renewed * 1_000 - 10)
    await tokens.current()
    expect(getToken).toHaveBeenCalledTimes(1)
    vi.setSystemTime(Date.now() + 20)
    await tokens.current()
    expect(getToken).toHaveBeenCalledTimes(2)
  })
})

test('a device clock that is set back renews the token', async () => {
  const getToken = vi.fn(() => tokenOf({ iat: 0, exp: 900 }))
  const tokens = new TokenKeeper(getToken, true)
  await tokens.current()
  vi.setSystemTime(Date.now() - 3_600_000)
  await tokens.current()
  await tokens.current()
  expect(getToken).toHaveBeenCalledTimes(2)
})

test.each([
  ['an opaque token', 'opaque'],
  ['a token without iat', tokenOf({ exp: 1 })],
  ['a token without exp', tokenOf({ iat: 1 })],
  ['claims that are not an object', `e30.${Buffer.from('null').toString('base64url')}.c2ln`],
  ['claims that are not base64url', 'e30.~~~.c2ln'],
])('%s is kept until the API refuses it', async (_, token) => {
  const getToken = vi.fn(() => token)
  const tokens = new TokenKeeper(getToken, true)
  await tokens.current()
  vi.setSystemTime(Date.now() + 86_400_000)
  expect(await tokens.current()).toMatchObject({ token, life: Number.POSITIVE_INFINITY })
  expect(getToken).toHaveBeenCalledTimes(1)
  tokens.forget(token)
  await tokens.current()
  expect(getToken).toHaveBeenCalledTimes(2)
})

test.each(['alice', 'Zoë', '李', '👩‍🚀', 'a"b\\c', 'x'.repeat(500)])(
  'the subject %s is read without the globals that React Native lacks',
  async sub => {
    const token = tokenOf({ iss: 'https://issuer', sub })
    vi.stubGlobal('atob', undefined)
    vi.stubGlobal('Buffer', undefined)
    vi.stubGlobal('TextDecoder', undefined)
    try {
      const facts = await new TokenKeeper(() => token, true).current()
      expect(facts).toMatchObject({ subject: sub, person: JSON.stringify(['https://issuer', sub]) })
    } finally {
      vi.unstubAllGlobals()
    }
  },
)

test('a getToken that does not answer fails after 30 seconds, and the next call asks again', async () => {
  const getToken = vi.fn<() => Promise<string>>(() => new Promise(() => {}))
  const tokens = new TokenKeeper(getToken, true)
  const failed = expect(tokens.current()).rejects.toThrow('getToken did not answer within 30 seconds.')
  await vi.advanceTimersByTimeAsync(30_000)
  await failed
  getToken.mockResolvedValue('a.b.c')
  expect(await tokens.current()).toMatchObject({ token: 'a.b.c' })
})

test.each<unknown>(['undefined', 'null', 'Bearer a.b.c', '<h1>Welcome</h1>', '[object Object]', 5, {}, true])(
  'an answer of %j is an error',
  async answer => {
    const tokens = new TokenKeeper(() => JSON.parse(JSON.stringify(answer)), true)
    await expect(tokens.current()).rejects.toThrow('getToken returned something that is not a token')
  },
)
