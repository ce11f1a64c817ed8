import express from 'express'
import { expect, test } from 'vitest'
import { TokenError } from '../../../server/verifier/index.js'
import { startWeb } from '../../parts/listen.js'

test.each([
  ['missing', 401, { 'www-authenticate': 'Bearer' }],
  ['keys_unavailable', 503, { 'retry-after': '5' }],
] as const)(
  'Express itself answers a %s that a handler throws with its status and headers',
  async (reason, status, headers) => {
    const app = express().set('env', 'test')
    app.get('/', () => {
      throw new TokenError(reason)
    })
    await using web = await startWeb(app)
    const response = await fetch(web.url)
    expect(response.status).toBe(status)
    expect(Object.fromEntries(response.headers)).toMatchObject(headers)
  },
)
