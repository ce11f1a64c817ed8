import { sql } from 'kysely'
import pg from 'pg'
import { expect, test } from 'vitest'
import { mayLeaveBehind } from '../../../db/scoped/session-cleanup.js'
import { readSessionFacts } from '../../../db/scoped/session-facts.js'
import { openTestDatabase } from '../../parts/database.js'
import { randomStatements } from '../../parts/random-statements.js'
import { findMissedCleanups, sessionStateQuery } from '../../parts/session-state.js'

const count = Number(process.env.FUZZ_STATEMENTS ?? 150)
const seed = Number(process.env.FUZZ_SEED ?? 20_261_127)

async function connect(url: string | null) {
  const client = new pg.Client({ connectionString: url ?? '' })
  await client.connect()
  return { client, [Symbol.asyncDispose]: () => client.end() }
}

test('no generated statement that leaves something in its session counts as harmless', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await using connection = await connect(database.url)
  const { functions } = await readSessionFacts(database.admin)
  const judge = (text: string) => mayLeaveBehind(text, functions)
  const { ran, left, misjudged } = await findMissedCleanups(connection.client, { seed, count, judge })
  expect(misjudged).toEqual([])
  expect(Math.min(ran, left)).toBeGreaterThan(count / 10)
})

if (process.env.LONG_TESTS) {
  /** An earlier, weaker check: it ignored `insert into a` anywhere in the text. */
  const weakerCheck = (text: string) => {
    const rest = text.replace(/\b(insert|merge)\s+into\s+("\w+"|\w+)(\s*\.\s*("\w+"|\w+))?/gi, '')
    return /\binto\b|pg_settings|--|\/\*|u&"|advisory|set_config|to_xml|setseed/i.test(rest)
  }

  test('the test above fails with a weaker check', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    await using connection = await connect(database.url)
    const { misjudged } = await findMissedCleanups(connection.client, {
      seed,
      count: Math.min(count, 2_000),
      judge: weakerCheck,
    })
    expect(misjudged.length).toBeGreaterThan(0)
  })
}

test('generated statements leave nothing for the next caller, however a scoped handle runs them', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const next = randomStatements(seed + 1)
  const alice = database.forUser('alice')
  const ways: ((text: string) => Promise<unknown>)[] = [
    text => sql.raw(text).execute(alice),
    text => alice.transaction().execute(trx => sql.raw(text).execute(trx)),
    text => alice.connection().execute(connection => sql.raw(text).execute(connection)),
    async text => {
      for await (const _ of alice.getExecutor().stream(sql.raw<object>(text).compile(alice), 2));
    },
  ]
  await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
  // A fifth of the statements, because each takes a round trip or more.
  for (let n = 0; n < count / 5; n++) {
    const text = next()
    await ways[n % ways.length]?.(text).catch(() => {})
    const { rows } = await sql.raw<{ left_behind: string[] }>(sessionStateQuery).execute(database.admin)
    expect([text, ...(rows[0]?.left_behind ?? [])]).toEqual([text])
  }
})
