import { sql } from 'kysely'
import { afterEach, expect, test, vi } from 'vitest'
import type { FenceReport } from '../../../db/fence/audit.js'
import { createFenceGate } from '../../../db/fence/gate.js'
import { FenceError, protectTable } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { waitFor } from '../../parts/wait-for.js'

afterEach(() => void vi.useRealTimers())

test('a new gap closes a running server within a minute, and the fix opens it again', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  await using database = await openTestDatabase('PostgreSQL')
  const alice = database.forUser('alice')
  const list = () => alice.selectFrom('tasks').select('id').execute()
  await list()
  await sql`alter table tasks disable row level security`.execute(database.admin)
  await list()
  vi.setSystemTime(Date.now() + 60_001)
  await list()
  await waitFor(() => expect(list()).rejects.toThrow(FenceError), { timeout: 10_000 })
  await sql`alter table tasks enable row level security`.execute(database.admin)
  await expect(list()).rejects.toThrow(FenceError)
  vi.setSystemTime(Date.now() + 5_001)
  expect(await list()).toEqual([])
})

test('nobody waits for a repeated audit, and it runs once', async () => {
  let now = 0
  let finish = (_: FenceReport) => {}
  const find = vi.fn(
    () =>
      new Promise<FenceReport>(done => {
        finish = done
      }),
  )
  const gate = createFenceGate({ runCheck: find, runAudit: find, now: () => now })
  const first = gate.check()
  finish({ level: 'plain', gaps: [], notes: [] })
  await first
  now += 60_001
  await Promise.all(Array.from({ length: 1_000 }, gate.check))
  expect(find).toHaveBeenCalledTimes(2)
  finish({ level: 'plain', gaps: [{ object: 'tasks', problem: 'is open', fix: 'close it' }], notes: [] })
  await waitFor(() => expect(gate.check()).rejects.toThrow(FenceError))
})

test('failing audits close the gate after three minutes, with a warning before', async () => {
  let now = 0
  const find = vi.fn(async (): Promise<FenceReport> => ({ level: 'plain', gaps: [], notes: [] }))
  const onProblem = vi.fn()
  const gate = createFenceGate({ runCheck: find, runAudit: find, now: () => now, onProblem })
  await gate.check()
  const failure = new Error('permission denied for table pg_class')
  find.mockRejectedValue(failure)
  for (let minute = 1; minute < 3; minute++) {
    now += 60_001
    await gate.check()
    await waitFor(() => expect(onProblem).toHaveBeenCalledTimes(minute))
  }
  expect(onProblem).toHaveBeenCalledWith(expect.stringContaining('The fence could not be checked'), failure)
  now += 60_000
  await expect(gate.check()).rejects.toMatchObject({ name: 'DatabaseUnavailableError', cause: failure })
  now += 60_000
  await expect(gate.check()).rejects.toMatchObject({ name: 'DatabaseUnavailableError', cause: failure })
  find.mockResolvedValue({ level: 'plain', gaps: [], notes: [] })
  await gate.check()
})

test.each([
  ['a day without callers', 86_400_000],
  ['a clock that is set back', -86_400_000],
])('after %s the audit runs before the next caller passes', async (_, time) => {
  let now = 1e12
  const find = vi.fn(async (): Promise<FenceReport> => ({ level: 'plain', gaps: [], notes: [] }))
  const gate = createFenceGate({ runCheck: find, runAudit: find, now: () => now })
  await gate.check()
  find.mockResolvedValue({
    level: 'plain',
    gaps: [{ object: 'tasks', problem: 'is open', fix: 'close it' }],
    notes: [],
  })
  now += time
  await expect(gate.check()).rejects.toThrow(FenceError)
})

test('an audit that the database refuses is logged and closes protected calls, until it works again', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const onProblem = vi.fn()
  await using database = await openTestDatabase('PostgreSQL', { onProblem })
  const list = () => database.forUser('alice').selectFrom('tasks').select('id').execute()
  await list()
  await sql`alter function trpc_bearer.shared_tables() rename to not_there`.execute(database.admin)
  vi.setSystemTime(Date.now() + 60_001)
  await list()
  await waitFor(() => expect(onProblem).toHaveBeenCalledOnce(), { timeout: 5_000 })
  vi.setSystemTime(Date.now() + 120_001)
  await expect(list()).rejects.toMatchObject({ name: 'DatabaseUnavailableError' })
  await sql`alter function trpc_bearer.not_there() rename to shared_tables`.execute(database.admin)
  expect(await list()).toEqual([])
})

test.each([
  [
    'throws',
    () => {
      throw new Error('No log.')
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('No log.')
    },
  ],
])('a hook that %s stops neither the process nor the gate', async (_, onProblem) => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  let now = 0
  const find = vi.fn(async (): Promise<FenceReport> => ({ level: 'plain', gaps: [], notes: [] }))
  const gate = createFenceGate({ runCheck: find, runAudit: find, now: () => now, onProblem })
  await gate.check()
  find.mockRejectedValueOnce(new Error('away'))
  now += 60_001
  await gate.check()
  await waitFor(() => expect(warn).toHaveBeenCalledOnce())
  await gate.check()
  warn.mockRestore()
})

if (process.env.LONG_TESTS) {
  test('under load the audit runs beside the statements, and a gap refuses all of them', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 2 })
    const callers = Array.from({ length: 20 }, (_, n) => database.forUser(`user-${n}`))
    const list = (handle: (typeof callers)[number]) => handle.selectFrom('tasks').select('id').execute()
    await Promise.all(callers.map(list))
    let answered = 0
    let isMinuteOver = false
    const load = async (handle: (typeof callers)[number]) => {
      for (;;) {
        const failure = await list(handle).then(
          () => null,
          error => error,
        )
        if (failure === null) {
          answered++
          continue
        }
        expect([failure, isMinuteOver]).toEqual([expect.any(FenceError), true])
        await expect(list(handle)).rejects.toThrow(FenceError)
        return
      }
    }
    const loads = Promise.all(callers.map(load))
    const waitForMoreAnswers = async () => {
      const before = answered
      await waitFor(() => expect(answered).toBeGreaterThan(before + 200), { timeout: 10_000 })
    }
    vi.setSystemTime(Date.now() + 60_001)
    await Promise.race([waitForMoreAnswers(), loads])
    await database.fence()
    await sql`alter table tasks disable row level security`.execute(database.admin)
    await Promise.race([waitForMoreAnswers(), loads])
    isMinuteOver = true
    vi.setSystemTime(Date.now() + 60_001)
    await loads
  })
}

test('tables that migrations protect during an audit are not a gap', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 4 })
  let isOver = false
  const audit = async () => {
    const gaps: unknown[] = []
    while (!isOver) gaps.push(...(await database.fence()).gaps)
    return gaps
  }
  const audits = audit()
  for (let n = 0; n < (process.env.LONG_TESTS ? 60 : 8); n++) {
    const name = `notes_${n}`
    await sql`create table ${sql.table(name)} (user_id text, id int, primary key (user_id, id))`.execute(
      database.admin,
    )
    await protectTable(database.admin, name)
  }
  isOver = true
  expect(await audits).toEqual([])
})

test('an audit that gets no answer fails after its timeout, and the next one is a new one', async () => {
  const complete: FenceReport = { level: 'plain', gaps: [], notes: [] }
  const find = vi.fn((): Promise<FenceReport> => new Promise(() => {}))
  const gate = createFenceGate({ runCheck: find, runAudit: find, timeout: 20 })
  await expect(gate.check()).rejects.toMatchObject({
    name: 'DatabaseUnavailableError',
    cause: { message: 'The check of the isolation got no answer in time.' },
  })
  find.mockImplementation(async () => complete)
  expect(await gate.audit()).toEqual(complete)
  await gate.check()
})

test('a report is at most ten seconds old, however often it is asked for', async () => {
  let now = 0
  const runCheck = vi.fn(async (): Promise<FenceReport> => ({ level: 'plain', gaps: [], notes: [] }))
  const gate = createFenceGate({ runCheck, runAudit: runCheck, now: () => now })
  await Promise.all([gate.report(), gate.report(), gate.check()])
  for (now = 1_000; now <= 10_000; now += 1_000) await gate.report()
  expect(runCheck).toHaveBeenCalledOnce()
  now = 10_001
  await gate.report()
  expect(runCheck).toHaveBeenCalledTimes(2)
})

test('gaps of an audit stay until an audit finds none, because a check sees less', async () => {
  let now = 0
  const clean: FenceReport = { level: 'plain', gaps: [], notes: [] }
  const runCheck = vi.fn(async () => clean)
  const runAudit = vi.fn(async () => clean)
  const gate = createFenceGate({ runCheck, runAudit, now: () => now })
  await gate.check()
  runAudit.mockResolvedValueOnce({
    ...clean,
    gaps: [{ object: 'tasks', problem: 'is open', fix: 'close it' }],
  })
  await gate.audit()
  await expect(gate.check()).rejects.toThrow(FenceError)
  expect((await gate.report()).gaps).toHaveLength(1)
  now += 5_001
  await gate.check()
  expect([runCheck.mock.calls.length, runAudit.mock.calls.length]).toEqual([1, 2])
})

test('an audit that finds a gap counts, also if a check began after it and ended before it', async () => {
  let finish = (_: FenceReport) => {}
  const clean: FenceReport = { level: 'plain', gaps: [], notes: [] }
  const open = { ...clean, gaps: [{ object: 'tasks', problem: 'is open', fix: 'close it' }] }
  const runAudit = vi.fn(
    () =>
      new Promise<FenceReport>(done => {
        finish = done
      }),
  )
  const gate = createFenceGate({ runCheck: async () => clean, runAudit })
  const audit = gate.audit()
  await gate.check()
  finish(open)
  await audit
  await expect(gate.check()).rejects.toThrow(FenceError)
})

test('a check that began before an audit and ends after it does not count', async () => {
  let now = 0
  let finish = (_: FenceReport) => {}
  const clean: FenceReport = { level: 'plain', gaps: [], notes: [] }
  const open = { ...clean, gaps: [{ object: 'tasks', problem: 'is open', fix: 'close it' }] }
  const runCheck = vi.fn(async () => clean)
  const gate = createFenceGate({ runCheck, runAudit: async () => open, now: () => now })
  await gate.check()
  now += 60_001
  runCheck.mockReturnValueOnce(
    new Promise(done => {
      finish = done
    }),
  )
  await gate.check()
  now += 1
  await gate.audit()
  finish(clean)
  await expect(gate.check()).rejects.toThrow(FenceError)
})
