import { sql } from 'kysely'
import { expect } from 'vitest'
import { FenceError, protectTable, shareTable } from '../../db/index.js'
import { type DatabaseKind, openTestDatabase } from './database.js'

/** A database for tests that open gaps in the fence. They use the schemas `gap` and `closed`. */
export async function openGapDatabase(kind: DatabaseKind) {
  const database = await openTestDatabase(kind)
  const { admin: db, fence, forUser } = database

  /** Runs a statement; `PROTECT x` and `SHARE x` call protectTable and shareTable. */
  const run = async (text: string) => {
    const [verb, table = ''] = text.split(' ')
    if (verb === 'PROTECT') await protectTable(db, table)
    else if (verb === 'SHARE') await shareTable(db, table)
    else await sql.raw(text).execute(db)
  }
  return {
    ...database,
    run,

    /** Creates both schemas again, with a table `gap.notes` that `protectTable` accepts. */
    async reset() {
      await run('drop schema if exists gap cascade; drop schema if exists closed cascade')
      await run('create schema gap; create schema closed; grant usage on schema gap to app_user')
      await run(
        'create table gap.notes (user_id text not null, id int not null, body text, primary key (user_id, id))',
      )
    },

    /** Opens a gap, checks that calls are refused, runs the fix of the report, and checks that calls work again. */
    async expectGapUntilFixed(statements: readonly string[], object: string) {
      for (const statement of statements) await run(statement)
      const { gaps } = await fence()
      expect(gaps).toEqual([expect.objectContaining({ object })])
      const alice = forUser('alice')
      const list = () => alice.selectFrom('tasks').select('id').execute()
      await expect(list()).rejects.toThrow(FenceError)
      for (const { fix } of gaps) await run(fix)
      expect((await fence()).gaps).toEqual([])
      const id = crypto.randomUUID()
      await alice.insertInto('tasks').values({ id, title: 'hers' }).execute()
      expect(await list()).toEqual([{ id }])
      await alice.deleteFrom('tasks').execute()
    },

    /** Lets a key reveal something, and checks that this is a note: no gap, and calls work. Returns the note. */
    async expectNote(statements: readonly string[], object: string) {
      for (const statement of statements) await run(statement)
      const { gaps, notes } = await fence()
      expect(gaps).toEqual([])
      expect(notes).toEqual([expect.objectContaining({ object })])
      expect(await forUser('alice').selectFrom('tasks').select('id').execute()).toEqual([])
      return notes[0]
    },
  }
}
