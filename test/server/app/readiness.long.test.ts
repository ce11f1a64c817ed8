import { expect, test } from 'vitest'
import { startRemote } from '../../parts/app.js'
import { migratedDatabase } from '../../parts/database.js'
import { send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { waitFor } from '../../parts/wait-for.js'

test('an issuer without keys is asked again', async () => {
  await using issuer = await startIssuer({ mode: 'without keys' })
  await using database = await migratedDatabase()
  await using app = await startRemote(issuer, { DATABASE_URL: database.url })
  const ready = async () => {
    const response = await send(app.url, '/readyz')
    return { status: response.status, ...JSON.parse(await response.text()) }
  }
  expect(await ready()).toMatchObject({ status: 503, keys: expect.stringContaining('no keys') })
  issuer.mode = 'up'
  await waitFor(async () => expect(await ready()).toMatchObject({ status: 200, keys: 'ok' }), {
    timeout: 10_000,
    interval: 100,
  })
})
