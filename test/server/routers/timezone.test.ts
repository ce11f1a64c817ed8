import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { refusalOf } from '../../parts/api-error.js'
import { sharedApp } from '../../parts/app.js'
import { emptyDatabase, kindsOfThisRun } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'

const zone = 'America/New_York'
const times = [
  '0001-01-01T00:00:00.000Z',
  '0001-01-01T04:56:02.001Z',
  '1850-01-01T00:00:00.000Z',
  // New York's clocks were set back by almost four minutes.
  '1883-11-18T16:59:59.999Z',
  // An hour that New York had twice, and one that it skipped.
  '2024-11-03T05:30:00.000Z',
  '2024-11-03T06:30:00.000Z',
  '2024-03-10T07:00:00.000Z',
  '9999-12-31T23:59:59.999Z',
]

// Each test file has its own process, so server and client here are both in New York.
beforeAll(() => void vi.stubEnv('TZ', zone))
afterAll(() => void vi.unstubAllEnvs())

function keepsEveryTime(app: ReturnType<typeof sharedApp>) {
  test('the process is in New York', () => {
    expect(Intl.DateTimeFormat().resolvedOptions().timeZone).toBe(zone)
    expect(new Date('1850-01-01T00:00:00Z').getFullYear()).toBe(1849)
  })

  test.each(times)('dueAt %s is returned to the millisecond', async time => {
    const dueAt = new Date(time)
    const { create, get, list, update } = app().as('alice').tasks
    const task = await create.mutate({ title: time, dueAt })
    expect(task.dueAt?.toISOString()).toBe(time)
    expect(await get.query({ id: task.id })).toEqual(task)
    expect((await list.query({ search: time })).items[0]).toEqual(task)
    const later = await update.mutate({ id: task.id, dueAt })
    expect(later.dueAt?.toISOString()).toBe(time)
    const { data } = await refusalOf(update.mutate({ id: task.id, version: 1, title: 'Late' }))
    expect(data?.current).toEqual(later)
  })

  test('the times of a task match the clock, and pages have no gap', async () => {
    const reader = app().as('reader')
    const before = Date.now()
    const tasks = []
    for (const title of ['one', 'two', 'three']) tasks.unshift(await reader.tasks.create.mutate({ title }))
    for (const { createdAt } of tasks) expect(Math.abs(createdAt.getTime() - before)).toBeLessThan(60_000)
    const first = await reader.tasks.list.query({ limit: 2 })
    const second = await reader.tasks.list.query({ limit: 2, cursor: first.nextCursor })
    expect([...first.items, ...second.items]).toEqual(tasks)
  })
}

describe.each(kindsOfThisRun)('in the time of New York, on %s', kind => keepsEveryTime(sharedApp(kind)))

describe('in the time of New York, on a PostgreSQL in New York too', () => {
  let database: Awaited<ReturnType<typeof emptyDatabase>>
  beforeAll(async () => {
    database = await emptyDatabase()
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const app = sharedApp('embedded', async () => {
    const { url } = database
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(`alter database ${new URL(url).pathname.slice(1)} set timezone to '${zone}'`)
    await client.end()
    const { admin: db, close } = await openDatabase({ url })
    await migrateAll(db)
    await close()
    return { DATABASE_URL: url }
  })
  keepsEveryTime(app)

  test('the database is in New York', async () => {
    const { admin: db, close } = await openDatabase({ url: database.url })
    const { rows } = await sql<{ TimeZone: string }>`show timezone`.execute(db)
    await close()
    expect(rows).toEqual([{ TimeZone: zone }])
  })
})
