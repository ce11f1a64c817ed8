import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import type { Database, OpenDatabase } from '../../db/index.js'
import type { AnyKysely } from '../../db/schema.js'
import { callerValue, type OwnerType } from '../../db/tables/owner.js'
import type { User } from '../../shared/user.js'
import type { OwnedTable, OwnerKind } from './owner-kinds.js'

type Handles = Pick<OpenDatabase, 'admin' | 'forUser'>
type Target = OpenDatabase & { url: string | null }

/** Removes a part of the isolation, to prove that the tests notice. */
export interface IsolationMutant {
  /** The test would fail if … */
  name: string
  /** The names of the kinds of owners that it breaks. */
  kinds: RegExp
  /** What the test must notice. */
  noticed: RegExp
  breach: (database: Target, kind: OwnerKind) => Promise<Handles>
}

const shown = /sees a row of/
const asUser = (user: User | string): User => (typeof user === 'string' ? { id: user } : user)

/** A handle that sets the identity when a connection is reserved, as people often write it. */
function byHand(url: string | null, identity: (user: User) => string[]): OpenDatabase['forUser'] {
  const pool = new pg.Pool({ connectionString: url ?? '', max: 3 })
  pool.on('error', () => {})
  return user =>
    new Kysely<Database>({
      dialect: new PostgresDialect({
        pool: { connect: () => pool.connect(), end: async () => {}, options: pool.options },
        onReserveConnection: async connection => {
          for (const text of identity(asUser(user))) await connection.executeQuery(CompiledQuery.raw(text))
        },
      }),
    })
}

const set = (setting: string, value: string) => `select set_config('${setting}', '${value}', false)`

/** Replaces the policies of each table. The fence has had its first check: it would find them too. */
function withPolicy(condition: (table: OwnedTable, value: string) => string, check?: string) {
  return async (database: Target, { tables }: OwnerKind) => {
    await database.fence()
    for (const table of tables) {
      const value = callerValue({ type: typeOf(table), by: table.by })
      await replacePolicy(database.admin, table, condition(table, value), check)
    }
    return database
  }
}

async function replacePolicy(db: AnyKysely, { name }: OwnedTable, using: string, check = 'true') {
  for (const policy of ['own_rows', 'own_rows_first'])
    await sql`drop policy ${sql.id(policy)} on ${sql.table(name)}`.execute(db)
  await sql`
    create policy own_rows on ${sql.table(name)} using (${sql.raw(using)}) with check (${sql.raw(check)})`.execute(
    db,
  )
}

const typeOf = ({ type }: OwnedTable) =>
  (type.startsWith('varchar') ? 'character varying' : type) as OwnerType

/** Replaces the function that converts an id to the type of a column. */
function withConversion(body: (type: string) => string) {
  return async (database: Target, { tables }: OwnerKind) => {
    await database.fence()
    for (const { type } of tables) {
      if (type === 'text') continue
      await sql
        .raw(`create or replace function trpc_bearer.as_${type}(id text) returns ${type} language sql immutable
          return ${body(type)}`)
        .execute(database.admin)
    }
    return database
  }
}

export const isolationMutants: readonly IsolationMutant[] = [
  {
    name: 'the policy were open',
    kinds: /./,
    noticed: shown,
    breach: withPolicy(() => 'true'),
  },
  {
    name: 'the role were not switched',
    kinds: /./,
    noticed: shown,
    breach: async ({ admin, url }) => ({
      admin,
      forUser: byHand(url, ({ id, orgId = '' }) => [set('app.user_id', id), set('app.owner_org', orgId)]),
    }),
  },
  {
    name: 'the identity were set for the session, once',
    kinds: /./,
    // A session that keeps an id without rows shows nobody's rows, and refuses the caller's own.
    noticed: /sees a row of|failed: .*row-level security/,
    breach: async ({ admin, url }) => {
      const once = (setting: string, value: string) =>
        `select set_config('${setting}', coalesce(nullif(current_setting('${setting}', true), ''), '${value}'), false)`
      return {
        admin,
        forUser: byHand(url, ({ id, orgId = '' }) => [
          'set role app_user',
          once('app.user_id', id),
          once('app.owner_org', orgId),
        ]),
      }
    },
  },
  {
    name: 'the organisation of a caller were not set',
    kinds: /organisations/,
    noticed: /(add|transaction) of .* failed: .*row-level security/,
    breach: async ({ admin, forUser }) => ({
      admin,
      forUser: (user, options) => forUser(asUser(user).id, options),
    }),
  },
  {
    name: 'the conversion accepted other spellings of an id',
    kinds: /uuid|integer|bigint/,
    noticed: shown,
    breach: withConversion(type => `id::${type}`),
  },
  {
    name: 'the policy compared the organisation with the user, and the user with the organisation',
    kinds: /organisations/,
    noticed: shown,
    breach: withPolicy(
      table =>
        `${table.owner} = ${callerValue({ type: typeOf(table), by: table.by === 'user' ? 'org' : 'user' })}`,
    ),
  },
  {
    name: 'the policy compared another column',
    kinds: /./,
    noticed: shown,
    breach: withPolicy(({ type }, value) => `notes::${type} = ${value}`),
  },
  {
    name: 'the policy did not check what is written',
    kinds: /./,
    noticed: /writes (a row|rows) of/,
    breach: withPolicy(({ owner }, value) => `${owner} = ${value}`),
  },
  {
    name: 'the owner column had no default',
    kinds: /./,
    noticed: /(add|transaction) of .* failed: .*(row-level security|not-null)/,
    breach: async (database, { tables }) => {
      await database.fence()
      for (const { name, owner } of tables)
        await sql`alter table ${sql.table(name)} alter ${sql.ref(owner)} drop default`.execute(database.admin)
      return database
    },
  },
  {
    name: 'the organisation of another caller were set',
    kinds: /organisations/,
    noticed: shown,
    breach: async ({ admin, forUser }) => {
      let previous: string | undefined
      return {
        admin,
        forUser: (user, options) => {
          const { id, orgId } = asUser(user)
          const used = previous ?? orgId
          previous = orgId
          return forUser({ id, ...(used !== undefined && { orgId: used }) }, options)
        },
      }
    },
  },
  {
    name: 'the organisation stayed on the connection for a caller without one',
    kinds: /organisations/,
    noticed: shown,
    breach: async ({ admin, url }) => ({
      admin,
      forUser: byHand(url, ({ id, orgId }) => [
        'set role app_user',
        set('app.user_id', id),
        ...(orgId === undefined ? [] : [set('app.owner_org', orgId)]),
      ]),
    }),
  },
  {
    name: 'the conversion cut off numbers that are too big',
    kinds: /integer|bigint/,
    noticed: shown,
    breach: withConversion(
      type =>
        `case when id ~ '^-?[1-9][0-9]*$' then mod(id::numeric, ${type === 'integer' ? 2n ** 32n : 2n ** 64n})::${type} end`,
    ),
  },
  {
    name: 'the id were cut to the length of the column',
    kinds: /varying/,
    noticed: shown,
    breach: withPolicy(({ owner, type }, value) => `${owner} = (${value})::${type}`),
  },
  {
    name: 'Alice and alice were the same',
    kinds: /text/,
    noticed: shown,
    breach: withPolicy(({ owner }, value) => `lower(${owner}) = lower(${value})`),
  },
]
