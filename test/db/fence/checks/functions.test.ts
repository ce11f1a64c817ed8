import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { kindsOfThisRun } from '../../../parts/database.js'
import { openGapDatabase } from '../../../parts/fence-gaps.js'

describe.each(kindsOfThisRun)('functions on %s', kind => {
  let database: Awaited<ReturnType<typeof openGapDatabase>>
  beforeAll(async () => {
    database = await openGapDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => database.reset())

  const count = `returns bigint language sql security definer as 'select count(*) from tasks'`

  test('that run with the rights of their owner have a note, until the fix has run', async () => {
    await database.run(`create function gap.count(text) ${count}`)
    await database
      .forUser('bob')
      .insertInto('tasks')
      .values({ id: crypto.randomUUID(), title: 'his' })
      .execute()
    const call = () => sql`select gap.count('') as seen`.execute(database.forUser('alice'))
    expect((await call()).rows).toEqual([{ seen: '1' }])
    const { gaps, notes } = await database.fence()
    expect(gaps).toEqual([])
    expect(notes).toEqual([
      {
        object: 'function gap.count(text)',
        problem: 'it runs with the rights of its owner, who sees the rows of all users',
        fix: '-- check that it returns only what every caller may see; else: alter function gap.count(text) security invoker;',
      },
    ])
    await database.run(notes[0]?.fix.split('else: ')[1] ?? '')
    expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
    expect((await call()).rows).toEqual([{ seen: '0' }])
    await database.admin.deleteFrom('tasks').execute()
  })

  test('that are procedures have a note too, and its fix works', async () => {
    await database.run(`create procedure gap.clear() language sql security definer as 'delete from tasks'`)
    const { notes } = await database.fence()
    expect(notes).toEqual([expect.objectContaining({ object: 'procedure gap.clear()' })])
    await database.run(notes[0]?.fix.split('else: ')[1] ?? '')
    expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
  })

  test.each([
    [
      'run with the rights of the caller',
      [`create function gap.count() ${count.replace('security definer', '')}`],
    ],
    [
      'the role may not call',
      [`create function gap.count() ${count}`, 'revoke execute on function gap.count from public'],
    ],
    [
      'only a trigger calls',
      [
        `create function gap.log() returns trigger language plpgsql security definer as 'begin return new; end'`,
        'create trigger log before insert on gap.notes for each row execute function gap.log()',
      ],
    ],
  ])('that %s have no note', async (_, statements) => {
    for (const statement of statements) await database.run(statement)
    expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
  })
})
