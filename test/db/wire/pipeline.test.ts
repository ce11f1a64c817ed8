import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../../db/errors.js'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'

type Handle = ReturnType<OpenDatabase['forUser']>

/** A message of the server (PostgreSQL manual, 55.7 Message Formats). */
const message = (type: string, body: Buffer | string) => {
  const bytes = Buffer.from(body)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([head, bytes])
}
const ready = message('Z', 'I')

let migrated: Awaited<ReturnType<typeof openTestDatabase>>
let proxy: Awaited<ReturnType<typeof startPostgresProxy>>
let database: OpenDatabase
beforeAll(async () => {
  migrated = await openTestDatabase('PostgreSQL')
  proxy = await startPostgresProxy(migrated.url ?? '')
  database = await openDatabase({ url: proxy.url, poolMax: 1 })
  for (const [user, title] of [
    ['alice', 'hers'],
    ['bob', 'his'],
  ] as const)
    await database.forUser(user).insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
})
afterAll(async () => {
  await database.close()
  await proxy[Symbol.asyncDispose]()
  await migrated[Symbol.asyncDispose]()
})

const titles = (handle: Handle) => handle.selectFrom('tasks').select('title').execute()
async function streamed(handle: Handle) {
  const rows: object[] = []
  for await (const row of handle.selectFrom('tasks').select('title').stream(1)) rows.push(row)
  return rows
}

const ways: [name: string, run: (handle: Handle) => Promise<unknown>][] = [
  ['a statement', titles],
  ['a statement without rows', handle => handle.updateTable('tasks').set({ notes: 'x' }).execute()],
  ['a transaction', handle => handle.transaction().execute(titles)],
  ['a stream', streamed],
  ['a statement that needs cleaning', handle => sql`select title from tasks, pg_sleep(0)`.execute(handle)],
]

/** `npm run test:long` tries them all, `npm test` the first. */
const surplus: [name: string, bytes: Buffer][] = [
  ['a whole answer', Buffer.concat([message('C', 'SELECT 1\0'), ready])],
  ['a row', message('D', Buffer.from([0, 1, 0, 0, 0, 1, 65]))],
  ['a ReadyForQuery', ready],
  ['two ReadyForQuery', Buffer.concat([ready, ready])],
  ['a CommandComplete', message('C', 'SELECT 1\0')],
  ['an end of a portal', message('s', '')],
  ['an empty query', message('I', '')],
  ['a CopyInResponse', message('G', Buffer.from([0, 0, 0]))],
  ['a CopyData', message('d', 'x')],
]
const tried = process.env.LONG_TESTS ? surplus : surplus.slice(0, 1)

test.each(tried.flatMap(([what, bytes]) => ways.map(([way, run]) => [what, way, bytes, run] as const)))(
  'with %s too many, before or after any part of the answer to %s, no caller gets the rows of another',
  async (_what, _way, bytes, run) => {
    for (const isBefore of [true, false]) {
      for (let at = 0; at < 5; at++) {
        let pieces = 0
        proxy.translate = answer => {
          if (pieces++ !== at) return answer
          return Buffer.concat(isBefore ? [bytes, answer] : [answer, bytes])
        }
        const outcomes = await Promise.allSettled([
          run(database.forUser('alice')),
          ...['bob', 'alice', 'bob'].map(user => titles(database.forUser(user))),
        ])
        proxy.translate = answer => answer
        for (const [n, title] of [
          [1, 'his'],
          [2, 'hers'],
          [3, 'his'],
        ] as const) {
          const outcome = outcomes[n]
          if (outcome?.status === 'fulfilled') expect(outcome.value).toEqual([{ title }])
          else expect(outcome?.reason).toBeInstanceOf(DatabaseUnavailableError)
        }
        expect(await titles(database.forUser('bob'))).toEqual([{ title: 'his' }])
      }
    }
  },
)

test.each(ways)('the answer to %s, sent again to the next caller, is refused', async (_, run) => {
  let answers: Buffer[] = []
  proxy.translate = answer => {
    answers.push(answer)
    return answer
  }
  await run(database.forUser('alice'))
  const before = answers
  answers = []
  proxy.translate = answer => {
    proxy.translate = other => other
    return Buffer.concat([...before, answer])
  }
  await expect(titles(database.forUser('bob'))).rejects.toThrow(DatabaseUnavailableError)
  expect(await titles(database.forUser('bob'))).toEqual([{ title: 'his' }])
})

test.each([
  ['gets lost', (row: Buffer) => [row].slice(1)],
  ['is sent twice', (row: Buffer) => [row, row]],
])('a row that %s is an outage', async (_, change) => {
  proxy.translate = answer => {
    const parts: Buffer[] = []
    let last: Buffer | undefined
    for (let at = 0; at + 5 <= answer.length; ) {
      const end = at + 1 + answer.readInt32BE(at + 1)
      const part = answer.subarray(at, end)
      if (part[0] === 'D'.charCodeAt(0)) last = part
      parts.push(part)
      at = end
    }
    return Buffer.concat(parts.flatMap(part => (part === last ? change(part) : [part])))
  }
  await expect(titles(database.forUser('alice'))).rejects.toThrow(DatabaseUnavailableError)
  proxy.translate = answer => answer
})

test('a ReadyForQuery that comes too early is an outage and destroys the connection', async () => {
  const backend = async () =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(database.forUser('bob'))).rows
  const before = await backend()
  proxy.translate = answer => Buffer.concat([ready, answer])
  await expect(titles(database.forUser('alice'))).rejects.toThrow(DatabaseUnavailableError)
  proxy.translate = answer => answer
  expect(await backend()).not.toEqual(before)
})
