import { expect, test } from 'vitest'
import { bad, seen, text } from '../parts/control-characters.js'
import { nowhere } from '../parts/database.js'
import { bearer, send } from '../parts/http-client.js'
import { claimsFrom, makeKey, startIssuer } from '../parts/issuer.js'
import { builtServer, startProgram } from '../parts/program.js'

test('the log of the server contains none of them, whatever a token contains', {
  timeout: 60_000,
}, async () => {
  await using issuer = await startIssuer()
  const env = { PORT: '0', LOG_LEVEL: 'info', BETTER_AUTH_URL: issuer.url, DATABASE_URL: nowhere }
  await using server = startProgram(process.execPath, [builtServer], { env })
  const [, url = ''] = await server.waitForOutput(/"url":"(http:[^"]+)"/)
  const stranger = await makeKey()
  const storable = text.replaceAll('\0', '').toWellFormed()
  const tokens = [
    await issuer.tokenFor(storable.slice(0, 200)),
    ...(await Promise.all(
      bad
        .filter(one => one.isWellFormed())
        .map(one => issuer.tokenFor('alice', { header: { kid: `a${one}b` } })),
    )),
    await stranger.sign(claimsFrom(text), { kid: text.toWellFormed() }),
  ]
  for (const token of tokens) {
    await send(url, '/trpc/me', { headers: [bearer(token), ['x-request-id', 'a\u0085b']] })
    await send(url, '/trpc/%E2%80%AE%C2%85', { headers: [bearer(token)] })
    await send(url, '/%E2%80%AE%C2%85%0A')
  }
  const { stdout, stderr } = await server.stop('SIGTERM')
  const lines = stdout.split('\n').filter(line => line.startsWith('{'))
  const users = lines.map(line => JSON.parse(line).user).filter(user => typeof user === 'string')
  const kids = lines.map(line => JSON.parse(line).refused?.kid)
  expect(users[0]).toMatch(/^aa\\u0001a\\u0002a/)
  expect(kids).toEqual(expect.arrayContaining(['a\\u000ab', 'a\\u0085b', 'a\\u202eb']))
  expect(lines.filter(line => seen.test(line))).toEqual([])
  expect(seen.test(stdout + stderr)).toBe(false)
})
