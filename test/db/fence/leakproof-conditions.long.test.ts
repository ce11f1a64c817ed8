import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openDatabase, protectTable } from '../../../db/index.js'
import { openMigrated, ownedDatabase } from '../../parts/logins.js'

// PostgreSQL may run a caller's cheap, leakproof condition on every row before the policy. A condition that fails for some rows then
// reveals rows of other users.

/** True for each row of one table, and false for the rows of bob in the other. */
const conditions = [
  "body ~<~ 'n'",
  "body < 'n'",
  "body = 'mmm'",
  "body ^@ 'm'",
  "body ~<~ any (array['n'])",
  "body is distinct from 'zzz'",
  "nullif(body, 'zzz') is not null",
  'n < 6',
  'n = 5',
  'n < any (array[6])',
  "at < '2021-01-01'",
  "key < '00000000-0000-4000-8000-000000000006'",
  'flag',
  'flag is true',
  'coalesce(flag, false)',
  'opt is null',
  'tags[2] is null',
  "extra['k'] is not null",
  `('{"mmm": 1}'::jsonb)[body] is not null`,
  "('{t,t,t,t,t,t}'::boolean[])[n]",
  'case when n < 6 then true else false end',
]
/** One of each kind: text, number, boolean, null. `npm test` tries these only. */
const fewConditions = ["body ~<~ 'n'", 'n = 5', 'flag', 'opt is null']
const tried = process.env.LONG_TESTS ? conditions : fewConditions
const division = '(select 1 / (random() * 0)::int = 1)'
const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
/** A query that is planned separately, after settings were changed. */
const nested = (query: string, ...settings: string[]) =>
  `select concat(${settings.map(setting => `set_config('${setting.replace('=', "','")}', true), `).join('')}
    query_to_xml(${quoted(query)}, true, true, '')::text)`
const all = 'tablesample system (100)'
const noIndex = ['enable_indexscan=off', 'enable_bitmapscan=off', 'enable_indexonlyscan=off'].map(
  setting => `${setting}'`,
)
const exists = (from: string, condition: string) => `select exists (select from ${from} where ${condition})`

const queries: readonly ((table: string, condition: string) => string)[] = [
  (table, condition) => exists(`${table} ${all}`, condition),
  exists,
  (table, condition) =>
    exists(`${table} ${all}`, `user_id ~>=~ 'bob' and user_id ~<=~ 'bob' and (${condition})`),
  (table, condition) => exists(`${table} ${all}`, `user_id = 'bob' and (${condition})`),
  (table, condition) =>
    exists(`(select * from ${table} ${all} union all select * from ${table} ${all}) both_tables`, condition),
  (table, condition) =>
    exists(`(values (1)) one, lateral (select from ${table} ${all} where ${condition}) x`, 'true'),
  (table, condition) => `select count(*) from (values (1)) one left join ${table} ${all} on ${condition}`,
  (table, condition) =>
    exists(`${table} x`, `ctid = any (array['(0,1)', '(0,2)', '(0,3)']::tid[]) and (${condition})`),
  (table, condition) => `update ${table} set n = n where ${condition}`,
  (table, condition) => nested(exists(table, condition), ...noIndex),
  (table, condition) => nested(exists(`${table} ${all}`, condition), "cpu_operator_cost=0.0025'"),
  (table, condition) => nested(exists(`${table} ${all}`, condition), "cpu_operator_cost=0x1p-1074'"),
  (table, condition) => nested(exists(`${table} ${all}`, condition), "cpu_operator_cost=1e308'"),
  (table, condition) =>
    nested(exists(`${table} ${all}`, condition), "cpu_operator_cost=0'", "plan_cache_mode=auto'"),
]

// From an equality that is connected with user_id PostgreSQL derives `member = user_id()`, which may run as early as the policy.
const member = (condition: string) => `case when ${condition} then 'x' else 'y' end`
const connected = (condition: string) => `${member(condition)} = body and body = user_id`
const tids = "array['(0,1)', '(0,2)', '(0,3)', '(3,1)', '(3,2)']::tid[]"

const equivalences: readonly ((table: string, condition: string) => string)[] = [
  (table, condition) => exists(`${table} ${all}`, connected(condition)),
  (table, condition) => exists(`${table} x`, `ctid = any (${tids}) and ${connected(condition)}`),
  (table, condition) => nested(exists(table, connected(condition)), ...noIndex),
  (table, condition) =>
    exists(`${table} ${all}, (values ('x')) v (x)`, `${member(condition)} = v.x and v.x = user_id`),
  (table, condition) => exists(`${table} ${all}`, `${member(condition)} = user_id`),
  (table, condition) =>
    `select count(*) from (values (1)) one left join ${table} ${all} on ${connected(condition)}`,
  (table, condition) =>
    exists(
      `(select * from ${table} ${all} union all select * from ${table} ${all}) both_tables`,
      connected(condition),
    ),
  (table, condition) => `update ${table} set n = n where ctid = any (${tids}) and ${connected(condition)}`,
  (table, condition) => `delete from ${table} where ctid = any (${tids}) and ${connected(condition)}`,
  (table, condition) =>
    `merge into ${table} t using (values (1)) v on ${connected(condition)} and t.ctid = any (${tids}) when matched then do nothing`,
  (table, condition) =>
    exists(
      `${table} ${all}, (select user_id as other from ${table} ${all}) b`,
      `${member(condition)} = b.other and b.other = user_id`,
    ),
]

/** Finds the conditions that reveal rows of bob to alice. */
async function findLeaks(secret?: string) {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, secret)
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  try {
    for (const [table, bobs] of [
      [
        'same',
        `'mmm', 5, '2020-01-01', '00000000-0000-4000-8000-000000000005', true, null, '{a}', '{"k": 1}'`,
      ],
      [
        'other',
        `'zzz', 50, '2025-01-01', '00000000-0000-4000-8000-000000000050', false, 'x', '{a,b}', '{"x": 1}'`,
      ],
    ] as const) {
      await sql
        .raw(
          `create table ${table} (user_id text, id int, body text, n int, at timestamptz, key uuid, flag boolean, opt text,
            tags text[], extra jsonb, primary key (user_id, id))`,
        )
        .execute(owner.admin)
      for (const [user, values] of [
        [
          'alice',
          `'mmm', 5, '2020-01-01', '00000000-0000-4000-8000-000000000005', true, null, '{a}', '{"k": 1}'`,
        ],
        ['bob', bobs],
      ])
        await sql
          .raw(`insert into ${table} select '${user}', g, ${values} from generate_series(1, 200) g`)
          .execute(owner.admin)
      await sql.raw(`create index on ${table} (user_id, n)`).execute(owner.admin)
      await sql.raw(`analyze ${table}`).execute(owner.admin)
      await protectTable(owner.admin, table)
    }
    const outcome = async (text: string) => {
      const result = await sql
        .raw(text)
        .execute(database.forUser('alice'))
        .then(({ rows }) => JSON.stringify(rows), String)
      return result.replaceAll(/\b(same|other)\b/g, 'table')
    }
    const leaks: string[] = []
    const attempts = [
      ...queries.flatMap(query => tried.map(condition => ({ query, condition }))),
      ...equivalences.flatMap(query => fewConditions.map(condition => ({ query, condition }))),
    ]
    for (const { query, condition } of attempts) {
      const text = (table: string) => query(table, `(${condition} or ${division})`)
      if ((await outcome(text('same'))) !== (await outcome(text('other')))) leaks.push(text('other'))
    }
    return { leaks, report: await database.fence() }
  } finally {
    await owner.close()
    await database.close()
  }
}

describe('an injected condition', () => {
  test('reveals nothing about rows of other users at the level signed', async () => {
    const { leaks, report } = await findLeaks(randomBytes(32).toString('hex'))
    expect(report).toEqual({ level: 'signed', gaps: [], notes: [] })
    expect(leaks).toEqual([])
  })

  test('reveals them at the level plain, as with any row-level security', async () => {
    const { leaks } = await findLeaks()
    expect(leaks.length).toBeGreaterThan(tried.length)
  })
})

test('a database that does not run policies first is not signed, until it is migrated with the secret again', async () => {
  await using logins = await ownedDatabase()
  const secret = randomBytes(32).toString('hex')
  const database = await openMigrated(logins, secret)
  try {
    await logins.administer(
      'create or replace function trpc_bearer.policies_first() returns boolean language sql immutable return true',
    )
    const { level, obstacles } = await database.fence()
    expect([level, obstacles?.map(({ problem }) => problem)]).toEqual([
      'plain',
      [expect.stringContaining('an injected condition can run on rows of other users')],
    ])
    await (await openMigrated(logins, secret)).close()
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
  } finally {
    await database.close()
  }
})
