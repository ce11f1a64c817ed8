import fc from 'fast-check'
import { sql } from 'kysely'
import { isDatabaseUnavailable } from '../../db/errors.js'
import type { OpenDatabase } from '../../db/index.js'
import type { Caller, OwnedTable, OwnerKind } from './owner-kinds.js'

type Columns = { id: string; title: string; notes: string }
const tables = (handle: ReturnType<OpenDatabase['forUser']>) =>
  handle.withTables<Record<OwnedTable['name'], Columns>>()
type Handle = ReturnType<typeof tables>

/** Steps of callers, none of which harms another caller. */
export const steps = [
  'add',
  'add',
  'list',
  'list',
  'rename',
  'remove',
  'fail',
  'rolledBack',
  'leave',
  'forge',
  'give',
  'transaction',
  'savepoint',
  'stream',
] as const
/** What may happen to any connection meanwhile. */
export const faults = ['cancelled', 'killed'] as const

/** What one of several concurrent callers does. */
export interface Action {
  step: (typeof steps | typeof faults)[number]
  caller: Caller
  table: OwnedTable
  /** Rows that it adds or reads. */
  rows: number
}

export const actionsOf = (
  { tables, callers }: OwnerKind,
  among: readonly Action['step'][],
): fc.Arbitrary<Action> =>
  fc.record({
    step: fc.constantFrom(...among),
    caller: fc.constantFrom(...callers),
    table: fc.constantFrom(...tables),
    rows: fc.integer({ min: 1, max: 4 }),
  })

const ownerOf = ({ owner }: OwnedTable) => sql<string>`${sql.ref(owner)}::text`

/** Repeats a query until it succeeds, because its connection may have been killed. */
async function retry<T>(query: () => Promise<T>): Promise<T> {
  return query().catch(() => retry(query))
}

/**
 * Runs the actions concurrently and returns what went wrong: a row of another owner seen, written or changed, or an own row missing.
 * The title of a row is its owner.
 */
export async function runActions(
  { admin: db, forUser }: Pick<OpenDatabase, 'admin' | 'forUser'>,
  { tables: owned, callers }: OwnerKind,
  actions: readonly Action[],
): Promise<string[]> {
  const wrong: string[] = []
  for (const { name } of owned) await retry(() => tables(db).deleteFrom(name).execute())
  const rowsOf = (handle: Handle, table: OwnedTable) =>
    handle
      .selectFrom(table.name)
      .select([sql.lit(table.name).as('table'), ownerOf(table).as('owner'), 'title'])
  /** The rows of all tables, in one query. */
  const allRows = (handle: Handle) =>
    owned.slice(1).reduce((query, table) => query.unionAll(rowsOf(handle, table)), rowsOf(handle, owned[0]))
  /** Rows whose commit a caller has seen, by table and owner. */
  const acknowledged = new Map<string, number>()
  const keyOf = ({ name }: OwnedTable, owner: string | null) => `${name} of ${owner}`
  const add = async (handle: Handle, { caller, table }: Action, rows = 1) => {
    const title = caller.owns[table.by]
    if (title === null) return
    // A policy that compared the notes would show the row to somebody else.
    const notes = callers.map(({ owns }) => owns[table.by]).find(owner => owner !== title) ?? ''
    for (let n = 0; n < rows; n++)
      await handle.insertInto(table.name).values({ id: crypto.randomUUID(), title, notes }).execute()
  }
  const acknowledge = ({ caller, table }: Action, rows = 1) => {
    const key = keyOf(table, caller.owns[table.by])
    acknowledged.set(key, (acknowledged.get(key) ?? 0) + rows)
  }
  const checkRow = (row: { table: string; owner: string; title: string }, { user, owns }: Caller) => {
    const table = owned.find(({ name }) => name === row.table)
    if (table === undefined || row.owner !== owns[table.by] || row.title !== row.owner)
      wrong.push(`${user.id} sees a row of ${row.owner} (${row.title}) in ${row.table}`)
  }
  const checkRows = async (handle: Handle, caller: Caller) => {
    const least = new Map(acknowledged)
    const rows = await allRows(handle).execute()
    for (const row of rows) checkRow(row, caller)
    for (const table of owned) {
      const own = caller.owns[table.by]
      const seen = rows.filter(row => row.table === table.name).length
      if (own !== null && seen < (least.get(keyOf(table, own)) ?? 0))
        wrong.push(`${caller.user.id} misses rows of ${keyOf(table, own)}`)
    }
  }
  const stream = async (handle: Handle, caller: Caller, reads: number) => {
    let read = 0
    for await (const row of allRows(handle).stream(2)) {
      checkRow(row, caller)
      if (++read === reads) break
    }
  }
  /** Adds rows before a savepoint, and as many after it that are rolled back. */
  const addBeforeSavepoint = async (handle: Handle, action: Action) => {
    const trx = await handle.startTransaction().execute()
    try {
      await add(trx, action, action.rows)
      const inside = await trx.savepoint('inside').execute()
      await add(inside, action, action.rows)
      const back = await inside.rollbackToSavepoint('inside').execute()
      await stream(back, action.caller, action.rows)
      await back.commit().execute()
    } catch (error) {
      await trx.rollback().execute()
      throw error
    }
  }
  const act = async (action: Action) => {
    const { step, caller, table, rows } = action
    const { id } = caller.user
    const own = caller.owns[table.by]
    const other = callers.map(({ owns }) => owns[table.by]).find(owner => owner !== own && owner !== null)
    const gone = new AbortController()
    const handle = tables(forUser(caller.user, { signal: gone.signal }))
    if (step === 'add') {
      await add(handle, action)
      acknowledge(action)
    } else if (step === 'list') await checkRows(handle, caller)
    else if (step === 'rename')
      await handle
        .updateTable(table.name)
        .set({ title: own ?? id })
        .execute()
    else if (step === 'remove') {
      const { numDeletedRows } = await handle
        .deleteFrom(table.name)
        .where(sql<boolean>`${ownerOf(table)} is distinct from ${own}`)
        .executeTakeFirst()
      if (numDeletedRows > 0n) wrong.push(`${id} deletes ${numDeletedRows} rows of others`)
    } else if (step === 'forge') {
      // Without an own row to add, the default must not make one either.
      const value = own === null ? sql`default` : sql`${other}`
      await sql`
        insert into ${sql.table(table.name)} (id, title, ${sql.ref(table.owner)})
        values (gen_random_uuid(), 'forged', ${value})`.execute(handle)
      wrong.push(`${id} writes a row of ${own === null ? 'nobody' : other} into ${table.name}`)
    } else if (step === 'give') {
      const { numAffectedRows = 0n } = await sql`
        update ${sql.table(table.name)} set ${sql.ref(table.owner)} = ${other}`.execute(handle)
      if (numAffectedRows > 0n) wrong.push(`${id} writes rows of ${other} into ${table.name}`)
    } else if (step === 'fail') await sql`select 1 / 0`.execute(handle)
    else if (step === 'leave')
      await sql`
        select set_config('app.user_id', 'bob', false), set_config('app.owner_org', ${other ?? ''}, false)`.execute(
        handle,
      )
    else if (step === 'transaction') {
      await handle.transaction().execute(async trx => {
        await add(trx, action, rows)
        await checkRows(trx, caller)
      })
      acknowledge(action, rows)
    } else if (step === 'savepoint') {
      await addBeforeSavepoint(handle, action)
      acknowledge(action, rows)
    } else if (step === 'stream') await stream(handle, caller, rows)
    else if (step === 'rolledBack') {
      await handle.transaction().execute(async trx => {
        await add(trx, action)
        await checkRows(trx, caller)
        throw new Error('rolled back')
      })
    } else if (step === 'cancelled') {
      setTimeout(() => gone.abort(new Error('gone')), 2)
      await handle.transaction().execute(async trx => {
        await sql`select pg_sleep(0.01)`.execute(trx)
        await checkRows(trx, caller)
        throw new Error('rolled back')
      })
    } else {
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1`.execute(db)
    }
  }
  const results = await Promise.allSettled(actions.map(act))
  const hasFaults = actions.some(({ step }) => step === 'killed')
  const rows = await retry(() => allRows(tables(db)).execute())
  for (const table of owned) {
    for (const owner of new Set(callers.map(({ owns }) => owns[table.by]))) {
      if (owner === null) continue
      const found = rows.filter(row => row.table === table.name && row.owner === owner)
      if (found.some(row => row.title !== owner)) wrong.push(`somebody changed a row of ${owner}`)
      const expected = acknowledged.get(keyOf(table, owner)) ?? 0
      // A killed connection may have committed without an acknowledgement.
      if (found.length < expected || (!hasFaults && found.length > expected))
        wrong.push(`${table.name} has ${found.length} rows of ${owner}, not ${expected}`)
    }
    const known = new Set(callers.map(({ owns }) => owns[table.by]))
    if (rows.some(row => row.table === table.name && !known.has(row.owner)))
      wrong.push('there are rows of unknown owners')
  }
  if (!hasFaults) {
    for (const [index, result] of results.entries()) {
      const { step = 'add', caller } = actions[index] ?? {}
      const mayFail = ['fail', 'rolledBack', 'cancelled', 'forge', 'give'].includes(step)
      // A connection that the previous run killed may be noticed only now.
      const isOutage = result.status === 'rejected' && isDatabaseUnavailable(result.reason)
      if (result.status === 'rejected' && !mayFail && !isOutage)
        wrong.push(`${step} of ${caller?.user.id} failed: ${result.reason}`)
    }
  }
  return wrong
}
