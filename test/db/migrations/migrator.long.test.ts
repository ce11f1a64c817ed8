import { randomBytes } from 'node:crypto'
import { expect, inject, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { openEmptyDatabase } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'
import { runSql } from '../../parts/run-sql.js'

const all = ['0001_isolation', '0002_tasks']

test('ten connections that migrate five databases of one cluster at once run each migration once, and create one role', async () => {
  for (let round = 0; round < 2; round++) {
    const role = `test_role_${randomBytes(6).toString('hex')}`
    const databases = await Promise.all(Array.from({ length: 5 }, openEmptyDatabase))
    try {
      const pairs = [...databases, ...databases]
      const ran = await Promise.all(pairs.map(({ admin: db }) => migrateAll(db, { role })))
      expect(ran.flat().toSorted()).toEqual(databases.flatMap(() => all).toSorted())
      for (const { url } of databases) {
        const { forUser, close } = await openDatabase({ url, role })
        expect(await forUser('alice').selectFrom('tasks').selectAll().execute()).toEqual([])
        await close()
      }
    } finally {
      await Promise.all(databases.map(database => database[Symbol.asyncDispose]()))
      await runSql(inject('postgresUrl'), `drop role if exists ${role}`)
    }
  }
})
