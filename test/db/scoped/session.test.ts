import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { Session } from '../../../db/scoped/session.js'

async function openSession() {
  const pool = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1 })
  onTestFinished(() => pool.end())
  const client = await pool.connect()
  return { pool, session: new Session(client, { timeout: 5_000, signal: undefined }) }
}

const one = { text: 'select 1 as one' }
const ended = 'has ended: await each statement'

test('a released session sends nothing more', async () => {
  const { pool, session } = await openSession()
  expect((await session.send(one)).rows).toEqual([{ one: 1 }])
  await session.release(async () => {})
  expect(() => session.send(one)).toThrow(ended)
  await expect(session.run(['select 1'])).rejects.toThrow(ended)
  expect(pool.totalCount).toBe(1)
})

test('a session is cleaned while it is released, and accepts nothing else', async () => {
  const { session } = await openSession()
  let isCleaned = false
  await session.release(async () => {
    expect(() => session.send(one)).toThrow(ended)
    await session.run(['select 1', 'select 2'])
    isCleaned = true
  })
  expect(isCleaned).toBe(true)
})

test('a broken session is not cleaned, and its connection is destroyed', async () => {
  const { pool, session } = await openSession()
  session.isBroken = true
  await session.release(() => expect.fail('It was cleaned.'))
  expect(pool.totalCount).toBe(0)
})

test('a session that has created a table is cleaned, and its connection is destroyed', async () => {
  const { pool, session } = await openSession()
  await session.send({ text: 'select 1 as one into temp made' })
  let isCleaned = false
  await session.release(async () => {
    isCleaned = true
  })
  expect([isCleaned, pool.totalCount]).toEqual([true, 0])
})
