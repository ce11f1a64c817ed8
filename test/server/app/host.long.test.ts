import { expect, test } from 'vitest'
import { startApp } from '../../parts/app.js'
import { bearer, send } from '../../parts/http-client.js'

test('the server answers to the name in HOST', async () => {
  await using local = await startApp('embedded', { HOST: 'localhost' })
  expect(new URL(local.url).hostname).toBe('localhost')
  expect((await send(local.url, '/trpc/health')).status).toBe(200)
  expect(await local.as('alice').me.query()).toMatchObject({ name: 'alice' })
})

test('two servers in one process are independent', async () => {
  await using app = await startApp()
  await using other = await startApp()
  await app.as('alice').tasks.create.mutate({ title: 'here' })
  await other.as('alice').tasks.create.mutate({ title: 'there' })
  const { items } = await other.as('alice').tasks.list.query()
  expect(items.map(({ title }) => title)).toEqual(['there'])
  const headers = [bearer(await other.tokenOf('alice'))]
  expect((await send(app.url, '/trpc/me', { headers })).status).toBe(401)
})
