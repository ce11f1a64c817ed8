import { sql } from 'kysely'
import { expect } from 'vitest'
import { FenceError, type FenceReport, protectTable, shareTable } from '../../db/index.js'
import { type DatabaseKind, openTestDatabase } from './database.js'

/** A fix with the choice that it offers in a comment, as somebody makes it. */
export const chosen = (fix: string) => fix.replace(/^-- choose: (.*: )?/, '')

interface NamedRelation {
  name: string
  isGiven: boolean
}

/**
 * Checks that the SQL of a report, run as it is printed, only revokes from tables that were not given to `protectTable`.
 *
 * @param query runs SQL that returns rows
 */
export async function expectOnlyGivenTablesToChange(
  { gaps, notes, obstacles = [] }: FenceReport,
  query: (text: string) => Promise<unknown[]>,
) {
  const rows = await query(`
    select case when n.nspname in ('pg_catalog', 'information_schema') then c.relname else format('%I.%I', n.nspname, c.relname) end as name,
      coalesce(i.indrelid, c.oid) in (select relation from trpc_bearer.protected_tables()) as "isGiven"
    from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_index i on i.indexrelid = c.oid
    where n.nspname <> 'trpc_bearer'`)
  const relations = rows as NamedRelation[]
  for (const { fix } of [...gaps, ...notes, ...obstacles]) {
    const statements = fix.replace(/--.*/g, '').split(';')
    for (const statement of statements.map(text => text.trim()).filter(text => text !== '')) {
      expect(statement).toMatch(/^(revoke|grant|alter|drop|create|delete from trpc_bearer\.) ?/)
      if (/^(revoke|alter role|alter default privileges|delete from trpc_bearer\.) ?/.test(statement))
        continue
      // A foreign key names its target, and does not change it.
      const changed = ` ${statement.replace(/ references \S+/i, '')} `
      const named = relations.filter(({ name }) =>
        changed.split(name).some((before, n, all) => {
          const after = all[n + 1]
          return after !== undefined && /[^\w.$"]$/.test(before) && /^[^\w.$"]/.test(after)
        }),
      )
      const others = named.filter(({ isGiven }) => !isGiven)
      expect(others, fix).toEqual([])
      const isLogin = /^(create role|grant \S+ to) /.test(statement)
      if (!isLogin) expect(named, fix).not.toEqual([])
    }
  }
}

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
  const expectOnlyGivenToChange = (report: FenceReport) =>
    expectOnlyGivenTablesToChange(report, async text => (await sql.raw(text).execute(db)).rows)
  return {
    ...database,
    run,
    expectOnlyGivenToChange,

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
      const report = await fence()
      const { gaps } = report
      expect(gaps).toEqual([expect.objectContaining({ object })])
      await expectOnlyGivenToChange(report)
      const alice = forUser('alice')
      const list = () => alice.selectFrom('tasks').select('id').execute()
      await expect(list()).rejects.toThrow(FenceError)
      for (const { fix } of gaps) await run(chosen(fix))
      expect((await fence()).gaps).toEqual([])
      const id = crypto.randomUUID()
      await alice.insertInto('tasks').values({ id, title: 'hers' }).execute()
      expect(await list()).toEqual([{ id }])
      await alice.deleteFrom('tasks').execute()
    },

    /** Lets a key reveal something, and checks that this is a note: no gap, and calls work. Returns the note. */
    async expectNote(statements: readonly string[], object: string) {
      for (const statement of statements) await run(statement)
      const report = await fence()
      const { gaps, notes } = report
      await expectOnlyGivenToChange(report)
      expect(gaps).toEqual([])
      expect(notes).toEqual([expect.objectContaining({ object })])
      expect(await forUser('alice').selectFrom('tasks').select('id').execute()).toEqual([])
      return notes[0]
    },
  }
}
