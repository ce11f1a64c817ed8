import { z } from 'zod'
import { text } from './text.js'

/** The id of a task: any UUID (RFC 9562), stored in lower case. The server generates version 7. */
export const taskId = z.guid().toLowerCase()

const title = text({ max: 500, nonEmpty: true, trim: true })
const notes = text({ max: 10_000 })
const earliest = new Date('0001-01-01T00:00:00.000Z')
const latest = new Date('9999-12-31T23:59:59.999Z')
const dueAt = z.date().min(earliest).max(latest).nullable()
const version = z.int().min(1).max(2_147_483_647)

/** Input of `tasks.list`. `limit` is 1 to 100, by default 20; `search` is a substring of title or notes. */
export const taskListInput = z
  .object({
    limit: z.int().min(1).max(100).default(20),
    cursor: z.string().max(200).nullish(),
    direction: z.literal('forward').optional(),
    status: z.enum(['all', 'open', 'done']).default('all'),
    search: text({ max: 200 }).optional(),
  })
  .prefault({})

/** Input of `tasks.get` and `tasks.delete`. */
export const taskIdInput = z.object({ id: taskId })

/** Input of `tasks.create`. With an `id` from the client the call can be repeated: it returns the existing task. */
export const taskCreateInput = z.object({
  id: taskId.optional(),
  title,
  notes: notes.optional(),
  dueAt: dueAt.optional(),
})

/** The fields that `tasks.update` can change. A missing or undefined field stays as it is; `dueAt: null` removes the date. */
export const taskPatch = z.object({
  title: title.optional(),
  notes: notes.optional(),
  completed: z.boolean().optional(),
  dueAt: dueAt.optional(),
})

const hasChange = ({ title, notes, completed, dueAt }: z.output<typeof taskPatch>) =>
  title !== undefined || notes !== undefined || completed !== undefined || dueAt !== undefined

/** Input of `tasks.update`. With a `version` the update is a CONFLICT if the task has changed since that version. */
export const taskUpdateInput = taskPatch
  .extend({ id: taskId, version: version.optional() })
  .refine(hasChange, 'Change at least one of title, notes, completed, dueAt')

/** The fields that `tasks.update` can change. */
export type TaskPatch = z.input<typeof taskPatch>

/** A task, as the API returns it. Times are whole milliseconds; `version` starts at 1 and grows with every update. */
export interface Task {
  id: string
  title: string
  notes: string
  completed: boolean
  dueAt: Date | null
  createdAt: Date
  updatedAt: Date
  version: number
}
