import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Database, setUpFence } from '../../db/index.js'
import { appRouter } from '../../server/index.js'
import { encodeCursor } from '../../server/routers/task-cursor.js'
import { type DatabaseKind, openTestDatabase } from './database.js'
import { fillTasks, type Size } from './many-tasks.js'
import { type Plan, page, planKinds, planOf } from './query-plan.js'
import { type Caller, recordStatements } from './recorded-statements.js'

/** A user, and what the calls need to know about their tasks. */
interface Person {
  id: string
  count: number
  done: number
  task: string
  /** Cursors of the page in the middle and of the last one. */
  middle: string
  deepest: string
}

/** A call of a procedure, and how many tasks it may read. */
type Call = [
  procedure: string,
  how: string,
  call: (caller: Caller, person: Person) => Promise<unknown>,
  reads: number | ((person: Person) => number),
]

const nowhere = 'a text that no task has'
const list = (how: string, input: (person: Person) => Parameters<Caller['tasks']['list']>[0]): Call => [
  'tasks.list',
  how,
  (caller, person) => caller.tasks.list(input(person)),
  person => (input(person)?.search === nowhere ? person.count : page),
]

const first = list('the first page', () => ({}))
const further = [
  list('the page in the middle', ({ middle: cursor }) => ({ cursor })),
  list('the deepest page', ({ deepest: cursor }) => ({ cursor })),
]

const calls: Call[] = [
  first,
  ...further,
  ...(['open', 'done'] as const).flatMap(status => [
    list(`the first page, ${status}`, () => ({ status })),
    list(`the deepest page, ${status}`, ({ deepest: cursor }) => ({ status, cursor })),
    list(`a search for what none has, ${status}`, () => ({ status, search: nowhere })),
  ]),
  list('a search for what each has', () => ({ search: 'TASK' })),
  list('a search for what each has, deep', ({ middle: cursor }) => ({ search: 'task', cursor })),
  list('a search for what none has', () => ({ search: nowhere })),
  ['tasks.get', 'one', ({ tasks }, { task: id }) => tasks.get({ id }), 1],
  ['tasks.create', 'a new one', ({ tasks }) => tasks.create({ title: 'x', dueAt: new Date() }), 0],
  ['tasks.create', 'one again', ({ tasks }, { task: id }) => tasks.create({ id, title: 'x' }), 0],
  ['tasks.update', 'of any version', ({ tasks }, { task: id }) => tasks.update({ id, dueAt: null }), 1],
  [
    'tasks.update',
    'of its version',
    ({ tasks }, { task: id }) => tasks.update({ id, version: 1, title: 'x', notes: '', completed: true }),
    1,
  ],
  [
    'tasks.update',
    'of a version before',
    ({ tasks }, { task: id }) =>
      expect(tasks.update({ id, version: 2, title: 'x' })).rejects.toMatchObject({ code: 'CONFLICT' }),
    1,
  ],
  ['tasks.delete', 'one', ({ tasks }, { task: id }) => tasks.delete({ id }), 1],
  ['tasks.clearCompleted', 'all', ({ tasks }) => tasks.clearCompleted(), ({ done }) => done],
]

/** Tests that every statement of every procedure finds its rows by an index that starts with the user. */
export function planContract(kind: DatabaseKind, size: Size): void {
  const secret = randomBytes(32).toString('hex')
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  const people: Person[] = []
  beforeAll(async () => {
    database = await openTestDatabase(kind, { fenceSecret: secret, statementTimeout: 60 })
    await fillTasks(database.admin, size)
    for (const id of ['many', 'importer', 'user-7']) people.push(await personOf(database.admin, id))
  }, 300_000)
  afterAll(() => database[Symbol.asyncDispose]())

  test('every procedure is called here that asks the database', () => {
    const called = new Set([...calls.map(([procedure]) => procedure), 'health', 'me'])
    expect([...called].toSorted()).toEqual(Object.keys(appRouter._def.procedures).toSorted())
  })

  describe.each(['plain', 'signed'] as const)('in the level %s', level => {
    beforeAll(async () => {
      if (level === 'signed') await setUpFence(database.admin, { role: 'app_user', secret })
    })

    /** The custom and the generic plan of every statement of a call. */
    async function plansOf([, , call]: Call, person: Person): Promise<Plan[]> {
      const statements = await recordStatements(database, person.id, caller => call(caller, person))
      expect(statements).not.toEqual([])
      const plans: Plan[] = []
      for (const kind of planKinds) {
        for (const statement of statements)
          plans.push(await planOf(database.admin, statement, { userId: person.id, secret, kind }))
      }
      return plans
    }

    test.each(calls)('%s, %s: by an index of its user, and no task too many', async (...call) => {
      const [, , , reads] = call
      for (const person of people) {
        for (const plan of await plansOf(call, person)) {
          expect(plan.faults).toEqual([])
          expect(plan.reads).toBeLessThanOrEqual(typeof reads === 'number' ? reads : reads(person))
        }
      }
    })

    test.each(further)('%s, %s: no more than half as much again as the first page', async (...call) => {
      for (const person of people) {
        const firsts = await plansOf(first, person)
        for (const [n, { buffers }] of (await plansOf(call, person)).entries())
          expect(buffers).toBeLessThanOrEqual(1.5 * (firsts[n]?.buffers ?? 0))
      }
    })
  })
}

async function personOf(db: Kysely<Database>, id: string): Promise<Person> {
  const own = db.selectFrom('tasks').where('user_id', '=', id)
  const { count, done } = await own
    .select([
      sql<number>`count(*)::int`.as('count'),
      sql<number>`(count(*) filter (where completed))::int`.as('done'),
    ])
    .executeTakeFirstOrThrow()
  const oldest = own.select(['created_at as createdAt', 'id']).orderBy('created_at').orderBy('id').limit(1)
  const middle = await oldest.offset(Math.floor(count / 2)).executeTakeFirstOrThrow()
  const deepest = await oldest.offset(page - 1).executeTakeFirstOrThrow()
  return {
    id,
    count,
    done,
    task: middle.id,
    middle: encodeCursor(middle),
    deepest: encodeCursor(deepest),
  }
}
