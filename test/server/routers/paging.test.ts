import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { administer, sharedApp, somebody } from '../../parts/app.js'
import { kindsOfThisRun } from '../../parts/database.js'

type Client = ReturnType<ReturnType<ReturnType<typeof sharedApp>>['as']>

/** The ids of all tasks of a client, page by page. */
async function pageThrough({ tasks }: Client, limit: number) {
  const ids: string[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof tasks.list.query>> = await tasks.list.query({ limit, cursor })
    expect(page.items.length).toBeLessThanOrEqual(limit)
    ids.push(...page.items.map(task => task.id))
    cursor = page.nextCursor
  } while (cursor !== null)
  return ids
}

describe.each(kindsOfThisRun)('paging on %s', kind => {
  const app = sharedApp(kind)

  /** Inserts tasks of a user directly; `perMoment` of them share each creation time. */
  async function insert(name: string, count: number, perMoment: number): Promise<string[]> {
    const { id } = await app().as(name).me.query()
    await using admin = await administer(app())
    const { rows } = await sql<{ id: string }>`
      insert into tasks (user_id, id, title, created_at)
      select ${id}, gen_random_uuid(), 'Task ' || number, now() - number / ${perMoment}::int * interval '1 millisecond'
      from generate_series(0, ${count}::int - 1) number
      returning id`.execute(admin.admin)
    return rows.map(row => row.id)
  }

  test.each([1, 3, 4, 25, 100])('tasks with equal times each appear once, %i to a page', async limit => {
    const name = somebody()
    const ids = await insert(name, 25, 9)
    const paged = await pageThrough(app().as(name), limit)
    expect(paged.toSorted()).toEqual(ids.toSorted())
    expect((await app().as(name).tasks.list.query({ limit: 100 })).items.map(task => task.id)).toEqual(paged)
  })

  test('tasks of the same time are in descending order of their ids', async () => {
    const name = somebody()
    const ids = await insert(name, 25, 25)
    expect(await pageThrough(app().as(name), 10)).toEqual(ids.toSorted().toReversed())
  })

  test('a page does not shift when a task of the previous page is deleted or a new one is created', async () => {
    const name = somebody()
    const { tasks } = app().as(name)
    const ids = (await insert(name, 6, 1)).toReversed()
    const first = await tasks.list.query({ limit: 3 })
    const last = first.items[2]
    await tasks.delete.mutate({ id: last?.id ?? '' })
    await tasks.create.mutate({ title: 'Newer' })
    const second = await tasks.list.query({ limit: 3, cursor: first.nextCursor })
    expect(second.items.map(task => task.id)).toEqual(ids.toReversed().slice(3))
    expect(second.nextCursor).toBeNull()
  })

  test('a status and a search apply on every page', async () => {
    const name = somebody()
    const { tasks } = app().as(name)
    const ids = await insert(name, 12, 5)
    for (const id of ids.slice(0, 7)) await tasks.update.mutate({ id, completed: true, notes: 'needle' })
    const found: string[] = []
    let cursor: string | null = null
    do {
      const input = { limit: 2, status: 'done', search: 'NEEDLE', cursor } as const
      const page: Awaited<ReturnType<typeof tasks.list.query>> = await tasks.list.query(input)
      found.push(...page.items.map(task => task.id))
      cursor = page.nextCursor
    } while (cursor !== null)
    expect(found.toSorted()).toEqual(ids.slice(0, 7).toSorted())
  })

  const many = kind === 'PostgreSQL' && process.env.LONG_TESTS ? 3_000 : 1_000

  test(`${many} tasks appear once each while another client creates and deletes tasks`, async () => {
    const name = somebody()
    const originals = await insert(name, many, 7)
    const [reader, other] = [app().as(name), app().as(name)]
    const deleted = new Set<string>()
    let made = 0
    let reading = true
    async function churn() {
      while (reading) {
        const titles = Array.from({ length: 4 }, () => `New ${made++}`)
        const fresh = await Promise.all(titles.map(title => other.tasks.create.mutate({ title })))
        // Half of the new tasks, and original tasks on pages before and after the reader.
        const victims = [7, 91, 613, 997].map(step => originals[(made * step) % many] ?? '')
        const ids = new Set(victims.filter(id => !deleted.has(id)))
        for (const id of ids) deleted.add(id)
        await Promise.all(
          [...ids, ...fresh.slice(2).map(task => task.id)].map(id => other.tasks.delete.mutate({ id })),
        )
      }
    }
    const churning = churn()
    const ids = await pageThrough(reader, 100).finally(() => {
      reading = false
    })
    await churning
    const seen = new Set(ids)
    expect(seen.size).toBe(ids.length)
    expect(originals.filter(id => !seen.has(id) && !deleted.has(id))).toEqual([])
    expect(made).toBeGreaterThan(4)
    expect(deleted.size).toBeGreaterThan(4)
  })
})
