import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { FenceError, migrateToLatest, openDatabase } from '../db/index.js'
import { emptyDatabase } from './parts/database.js'

test.each([
  ['whom policies do not bind', 'create role OTHER bypassrls', (role: string) => `strong_${role}`],
  ['who may reach more', 'create role OTHER; alter role ROLE noinherit', (role: string) => `strong_${role}`],
  ['who may reach more', 'select', () => 'pg_read_all_data'],
])('a role that can become one %s is a gap, until it is mended: %s', async (whom, setup, nameOther) => {
  await using empty = await emptyDatabase()
  const role = `becoming_${randomBytes(4).toString('hex')}`
  const other = nameOther(role)
  const database = await openDatabase({ url: empty.url, role })
  const run = (text: string) => sql.raw(text).execute(database.db)
  try {
    await migrateToLatest(database.db, { role })
    await run(setup.replace('OTHER', other).replace('ROLE', role))
    await run(`grant ${other} to ${role}`)
    const { gaps } = await database.fence()
    expect(gaps).toEqual([
      expect.objectContaining({ object: `role ${role}`, problem: `it can become ${other}, ${whom}` }),
    ])
    for (const { mend } of gaps) await run(mend)
    expect((await database.fence()).gaps).toEqual([])
  } finally {
    await run(`drop owned by ${role} cascade; drop role ${role}; drop role if exists strong_${role}`)
    await database.close()
  }
})

test.each(['superuser', 'bypassrls'])(
  'a role that is %s is a gap, and nothing is asked as it',
  async attribute => {
    await using empty = await emptyDatabase()
    const role = `strong_${attribute}`
    const database = await openDatabase({ url: empty.url, role })
    try {
      await migrateToLatest(database.db, { role })
      expect((await database.fence()).gaps).toEqual([])
      await sql.raw(`alter role ${role} ${attribute}`).execute(database.db)
      expect((await database.fence()).gaps).toEqual([expect.objectContaining({ object: `role ${role}` })])
      await expect(database.forUser('alice').selectFrom('tasks').select('id').execute()).rejects.toThrow(
        FenceError,
      )
      await sql.raw(`alter role ${role} no${attribute}`).execute(database.db)
    } finally {
      await sql.raw(`drop owned by ${role} cascade; drop role ${role}`).execute(database.db)
      await database.close()
    }
  },
)
