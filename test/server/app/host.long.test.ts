import { expect, test } from 'vitest'
import { startApp } from '../../parts/app.js'

test('with DATABASE_URL and no issuer, the in-process issuer signs users in', async () => {
  await using own = await startApp('PostgreSQL')
  const alice = own.as('alice')
  const { id } = await alice.tasks.create.mutate({ title: 'milk' })
  expect(await alice.tasks.get.query({ id })).toMatchObject({ title: 'milk' })
  await expect(own.as('bob').tasks.get.query({ id })).rejects.toMatchObject({ data: { code: 'NOT_FOUND' } })
})
