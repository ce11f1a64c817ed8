import type { Task } from '../../../shared/task.js'
import { transformer } from '../../../shared/transformer.js'
import { createStore, type Store } from '../store.js'

/** A task that is not in the API yet. Its id comes from the page, so that it can be sent again. */
export type NewTask = Pick<Task, 'id' | 'title' | 'notes' | 'dueAt' | 'completed'>

/** What somebody has changed in a task. */
export type Changes = Partial<Omit<NewTask, 'id'>>

/** A change, and the task as it was when the change began. The API refuses it if the task has another version by now. */
export interface Edit {
  base: Task
  changes: Changes
}

/** A change on its way, or one that has failed. */
export interface SentEdit extends Edit {
  key: string
  isSending: boolean
}

/** A change that met another one. The person chooses. */
export interface Conflict extends Edit {
  current: Task
}

/** What stands in the fields of a form; a field that was not touched is missing. */
export interface Typed {
  title?: string
  notes?: string
  /** As `<input type="datetime-local">` has it. */
  due?: string
  /** Of a change that has failed. The form does not show it. */
  completed?: boolean
}

export interface OpenForm {
  base: Task
  typed: Typed
}

/** What the API has not confirmed. The lists start with the oldest. */
export interface Unsent {
  newTitle: string
  adds: (NewTask & { isSending: boolean })[]
  edits: SentEdit[]
  forms: OpenForm[]
  conflicts: Conflict[]
  /** Ids of tasks that are being deleted. */
  removing: string[]
}

export interface UnsentStore extends Pick<Store<Unsent>, 'get' | 'subscribe'> {
  update(change: (now: Unsent) => Partial<Unsent>): void
  /** Nothing of the person stays in the tab, and what ends later is not written any more. */
  discard(): void
}

const nothing: Unsent = { newTitle: '', adds: [], edits: [], forms: [], conflicts: [], removing: [] }

/** What a person has typed and done in this tab, until the API has confirmed it. It survives a reload. */
export function openUnsent(userId: string): UnsentStore {
  const name = `unsent ${userId}`
  const saved = sessionStorage.getItem(name)
  const store = createStore(
    saved === null ? nothing : afterReload(transformer.output.deserialize(JSON.parse(saved))),
  )
  let isDiscarded = false
  return {
    ...store,
    update(change) {
      if (isDiscarded) return
      store.set({ ...store.get(), ...change(store.get()) })
      sessionStorage.setItem(name, JSON.stringify(transformer.input.serialize(store.get())))
    },
    discard() {
      isDiscarded = true
      sessionStorage.removeItem(name)
    },
  }
}

/** Nobody waits for the answers any more: what was being sent is back where it was typed. */
function afterReload({ newTitle, adds, edits, forms, conflicts }: Unsent): Unsent {
  const isText = ({ changes }: Edit) => hasText(changes)
  return {
    ...nothing,
    newTitle: newTitle || (adds.at(-1)?.title ?? ''),
    adds: adds.map(add => ({ ...add, isSending: false })),
    edits: edits.filter(edit => !isText(edit)).map(edit => ({ ...edit, isSending: false })),
    forms: edits
      .filter(isText)
      .reduce(reopened, forms)
      .filter(form => Object.keys(changesOf(form)).length > 0),
    conflicts,
  }
}

/** Leaving the page would lose something that the person believes to be saved. */
export const isWaiting = ({ adds, edits, conflicts }: Unsent) =>
  adds.length + edits.length + conflicts.length > 0

export const hasText = ({ title, notes, dueAt }: Changes) =>
  title !== undefined || notes !== undefined || dueAt !== undefined

/** The form of a change that has failed. What was typed since then wins. */
export function reopened(forms: OpenForm[], { base, changes }: Edit): OpenForm[] {
  const { dueAt, ...same } = changes
  const typed: Typed = { ...same, ...(dueAt !== undefined && { due: localTime(dueAt) }) }
  const open = forms.find(form => form.base.id === base.id)
  return [...withoutTask(forms, base.id), { base, typed: { ...typed, ...open?.typed } }]
}

/** Only what differs from the task as it was when the form was opened. */
export function changesOf({ base, typed: { title = base.title, notes, due, completed } }: OpenForm): Changes {
  return {
    ...(title.trim() !== base.title && { title: title.trim() }),
    ...(notes !== undefined && notes !== base.notes && { notes }),
    ...(due !== undefined && due !== localTime(base.dueAt) && { dueAt: due === '' ? null : new Date(due) }),
    ...(completed !== undefined && completed !== base.completed && { completed }),
  }
}

export const withoutTask = <T extends { base: Task }>(list: T[], id: string) =>
  list.filter(({ base }) => base.id !== id)

/**
 * What was begun on a version goes on from a later one, because the person knows what happened in between.
 *
 * @param from the version; by default any
 */
export function rebased(
  { edits, forms }: Unsent,
  task: Task,
  from?: number,
): Pick<Unsent, 'edits' | 'forms'> {
  const rebase = <T extends { base: Task }>(item: T): T =>
    item.base.id === task.id && (from === undefined || item.base.version === from)
      ? { ...item, base: task }
      : item
  return { edits: edits.map(rebase), forms: forms.map(rebase) }
}

/** The tasks as the person has left them: with what is being sent, and with the forms of tasks that the list does not have. */
export function withUnsent(tasks: Task[], { adds, edits, forms, removing }: Unsent): Task[] {
  const now = new Date()
  const isListed = (id: string) => tasks.some(task => task.id === id)
  const added = adds
    .filter(({ id, isSending }) => isSending && !isListed(id))
    .map(({ isSending: _, ...task }) => ({ ...task, createdAt: now, updatedAt: now, version: 0 }))
  const hidden = forms.map(({ base }) => base).filter(({ id }) => !isListed(id))
  return [...hidden, ...added.toReversed(), ...tasks]
    .filter(({ id }) => !removing.includes(id))
    .map(task =>
      Object.assign(
        {},
        task,
        ...edits.filter(edit => edit.isSending && edit.base.id === task.id).map(({ changes }) => changes),
      ),
    )
}

/** As `<input type="datetime-local">` has it. */
export function localTime(date: Date | null): string {
  if (date === null) return ''
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}
