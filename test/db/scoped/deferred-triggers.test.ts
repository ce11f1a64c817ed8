import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OpenDatabase, protectTable } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<OpenDatabase['forUser']>

// The trigger runs at the end of the transaction and writes into the row its role, its user id and its time limit.
const schema = `
  create table orders (user_id text not null, item text not null, checked text);
  create index on orders (user_id);
  create function check_order() returns trigger language plpgsql as $$ begin
    if new.item = 'nothing' then raise 'an order of nothing' using errcode = 'check_violation'; end if;
    update orders set checked = concat_ws(' ', current_user, current_setting('app.user_id', true),
      current_setting('statement_timeout')) where item = new.item;
    return null;
  end $$;
  create constraint trigger order_checked after insert on orders deferrable initially deferred
    for each row execute function check_order()`

const order = (handle: Handle, item: string) =>
  sql`insert into orders (item) values (${item})`.execute(handle)

/** Calls a function that may leave something behind, so the connection is cleaned after it. */
const orderUncleanly = (handle: Handle, item: string) =>
  sql`insert into orders (item) values (set_config('shop.item', ${item}, false))`.execute(handle)

async function orderInStream(handle: Handle, item: string) {
  const query = sql<object>`insert into orders (item) values (${item}) returning item`.compile(handle)
  for await (const _ of handle.getExecutor().stream(query, 1)) {
    // The rows are read to their end.
  }
}

describe.each(kindsOfThisRun)('a deferred constraint trigger on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind, { poolMax: 1 })
    for (const statement of schema.split(/;\n(?= {2}create)/))
      await sql.raw(statement).execute(database.admin)
    await protectTable(database.admin, 'orders')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const ordersOf = async (item: string) => {
    const { rows } = await sql`select user_id, checked from orders where item = ${item}`.execute(
      database.admin,
    )
    return rows
  }

  const cases: [string, (alice: Handle, item: string) => Promise<unknown>][] = [
    ['a statement', order],
    ['a statement that needs cleaning', orderUncleanly],
    ['a transaction', (alice, item) => alice.transaction().execute(trx => order(trx, item))],
    [
      'a transaction with a statement that needs cleaning',
      (alice, item) =>
        alice.transaction().execute(async trx => {
          await order(trx, item)
          await sql`select pg_advisory_lock(1)`.execute(trx)
        }),
    ],
    ['a stream', orderInStream],
  ]

  test.each(cases)('runs as the application role and the caller, for %s', async (item, run) => {
    await run(database.forUser('alice'), item)
    expect(await ordersOf(item)).toEqual([{ user_id: 'alice', checked: 'app_user alice 15s' }])
  })

  test.each(cases)('that fails is reported to the caller, for %s', async (_, run) => {
    await expect(run(database.forUser('alice'), 'nothing')).rejects.toMatchObject({ code: '23514' })
    expect(await ordersOf('nothing')).toEqual([])
    await order(database.forUser('bob'), 'something')
  })

  test.each<[string, typeof order]>([
    ['a commit by hand', order],
    ['a commit by hand that needs cleaning', orderUncleanly],
  ])('that fails %s keeps the transaction closed until its rollback', async (kind, run) => {
    const alice = database.forUser('alice')
    await alice.connection().execute(async connection => {
      const trx = await connection.startTransaction().execute()
      await run(trx, 'nothing')
      await expect(trx.commit().execute()).rejects.toMatchObject({ code: '23514' })
      for (const act of [
        () => order(trx, 'late'),
        () => orderUncleanly(trx, 'late'),
        () => orderInStream(trx, 'late'),
        () => trx.savepoint('late').execute(),
        () => trx.commit().execute(),
      ])
        await expect(act()).rejects.toThrow('roll it back')
      await trx.rollback().execute()
      await order(connection, kind)
    })
    expect(await ordersOf('late')).toEqual([])
    expect(await ordersOf(kind)).toHaveLength(1)
  })
})
