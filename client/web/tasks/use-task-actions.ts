import type { Task } from '../../../shared/task.js'
import { isApiError } from '../../client.js'
import type { Notices } from '../notices.js'
import { explain, isMissing, isOfFormerUser } from './explain.js'
import { useTaskCalls } from './task-calls.js'
import {
  type Changes,
  type Conflict,
  changesOf,
  type Edit,
  hasText,
  type NewTask,
  rebased,
  reopened,
  type SentEdit,
  type Typed,
  type UnsentStore,
  withoutTask,
} from './unsent.js'

/**
 * What a person can do with tasks. Each change shows at once, and stays in `unsent` until the API has confirmed it or the person has given
 * it up.
 */
export function useTaskActions(unsent: UnsentStore, notices: Notices) {
  const calls = useTaskCalls()

  /** @returns whether it was added */
  const add = async (task: NewTask): Promise<boolean> => {
    notices.close(task.id)
    unsent.update(({ adds, newTitle }) => ({
      adds: [...adds.filter(({ id }) => id !== task.id), { ...task, isSending: true }],
      newTitle: newTitle.trim() === task.title ? '' : newTitle,
    }))
    try {
      await calls.add(task)
      forgetAdd(task.id)
      return true
    } catch (error) {
      if (isOfFormerUser(error)) return false
      unsent.update(({ adds }) => ({
        adds: adds.map(other => (other.id === task.id ? { ...other, isSending: false } : other)),
      }))
      showUnsentAdd(task, explain(error))
      return false
    }
  }
  const forgetAdd = (id: string) =>
    unsent.update(({ adds }) => ({ adds: adds.filter(other => other.id !== id) }))
  const showUnsentAdd = (task: NewTask, why: string) =>
    notices.show({
      key: task.id,
      problem: `“${task.title}” was not added. ${why}`,
      action: { label: 'Try again', run: () => void add(task) },
      onClose: () => forgetAdd(task.id),
    })

  const edit = (change: Edit) => {
    const key = crypto.randomUUID()
    unsent.update(({ edits }) => ({ edits: [...edits, { ...change, key, isSending: true }] }))
    void calls.inTurn(change.base.id, () => sendEdit(key))
  }
  const sendEdit = async (key: string) => {
    const sent = unsent.get().edits.find(other => other.key === key)
    if (sent === undefined) return
    const { base, changes } = sent
    try {
      finishEdit(sent, await calls.update(sent))
    } catch (error) {
      if (isOfFormerUser(error)) return
      const current = isApiError(error) ? error.data?.current : undefined
      if (current === undefined) return failEdit(sent, error)
      await calls.replace(current)
      if (isSaved(changes, current)) return finishEdit(sent, current)
      forgetEdit(key)
      unsent.update(({ conflicts }) => ({ conflicts: withConflict(conflicts, { base, changes, current }) }))
    }
  }
  const forgetEdit = (key: string) =>
    unsent.update(({ edits }) => ({ edits: edits.filter(other => other.key !== key) }))
  /** Nobody else has changed the task in between if its version has grown by one. */
  const finishEdit = ({ key, base: { version } }: SentEdit, saved: Task) => {
    forgetEdit(key)
    if (saved.version === version + 1) unsent.update(now => rebased(now, saved, version))
  }
  const failEdit = ({ key, ...change }: SentEdit, error: unknown) => {
    const { id, title } = change.base
    const problem = `The change of “${title}” was not saved. ${explain(error)}`
    if (!hasText(change.changes)) {
      unsent.update(({ edits }) => ({
        edits: edits.map(other => (other.key === key ? { ...other, isSending: false } : other)),
      }))
      if (isMissing(error)) forgetEdit(key)
      return showUnsentTick(key, problem, !isMissing(error))
    }
    forgetEdit(key)
    unsent.update(({ forms }) => ({ forms: reopened(forms, change) }))
    notices.show({
      key: id,
      problem,
      action: isMissing(error)
        ? { label: 'Add it as a new task', run: () => addForm(id) }
        : { label: 'Try again', run: () => saveForm(id) },
    })
  }
  const showUnsentTick = (key: string, problem: string, canRetry: boolean) => {
    const run = () => {
      const failed = unsent.get().edits.find(other => other.key === key)
      forgetEdit(key)
      if (failed) edit(failed)
    }
    notices.show({
      key,
      problem,
      action: canRetry ? { label: 'Try again', run } : undefined,
      onClose: () => forgetEdit(key),
    })
  }

  const openForm = (task: Task) =>
    unsent.update(({ forms }) => ({ forms: [...forms, { base: task, typed: {} }] }))
  const type = (id: string, typed: Typed) =>
    unsent.update(({ forms }) => ({
      forms: forms.map(form =>
        form.base.id === id ? { ...form, typed: { ...form.typed, ...typed } } : form,
      ),
    }))
  const closeForm = (id: string) => {
    notices.close(id)
    const form = unsent.get().forms.find(({ base }) => base.id === id)
    unsent.update(({ forms }) => ({ forms: withoutTask(forms, id) }))
    return form
  }
  const saveForm = (id: string) => {
    const form = closeForm(id)
    if (form === undefined) return
    const changes = changesOf(form)
    if (Object.keys(changes).length > 0) edit({ base: form.base, changes })
  }
  /** For a task that was deleted elsewhere meanwhile. */
  const addForm = (id: string) => {
    const form = closeForm(id)
    if (form === undefined) return
    const { title, notes, dueAt, completed } = { ...form.base, ...changesOf(form) }
    void add({ id: crypto.randomUUID(), title, notes, dueAt, completed })
  }

  /** The person has seen the saved task, so nothing that they have begun conflicts with it any more. */
  const endConflict = (current: Task) =>
    unsent.update(now => ({ ...rebased(now, current), conflicts: withoutTask(now.conflicts, current.id) }))
  const keepMine = ({ changes, current }: Conflict) => {
    endConflict(current)
    edit({ base: current, changes })
  }

  const remove = async (task: Task) => {
    const { id, title } = task
    const end = markRemoving([id])
    try {
      await calls.remove(id)
      notices.show({
        done: `“${title}” deleted.`,
        action: { label: 'Undo', run: () => void add(task) },
      })
    } catch (error) {
      if (!isOfFormerUser(error)) failRemoval(`“${title}” was not deleted.`, error, () => void remove(task))
    }
    end()
  }
  /** Of more tasks than one page holds there is no undo. */
  const clearCompleted = async (shown: Task[]) => {
    const end = markRemoving(shown.filter(task => task.completed).map(task => task.id))
    try {
      const { count, tasks } = await calls.clearCompleted()
      const run = () => {
        for (const task of tasks.toReversed()) void add(task)
      }
      notices.show({
        done: count === 1 ? '1 task deleted.' : `${count} tasks deleted.`,
        action: tasks.length > 0 ? { label: 'Undo', run } : undefined,
      })
    } catch (error) {
      if (!isOfFormerUser(error))
        failRemoval('The completed tasks were not deleted.', error, () => void clearCompleted(shown))
    }
    end()
  }
  const failRemoval = (problem: string, error: unknown, run: () => void) =>
    notices.show({ problem: `${problem} ${explain(error)}`, action: { label: 'Try again', run } })
  const markRemoving = (ids: string[]) => {
    unsent.update(({ removing }) => ({ removing: [...removing, ...ids] }))
    return () => unsent.update(({ removing }) => ({ removing: removing.filter(id => !ids.includes(id)) }))
  }

  /** After a reload: what was not confirmed before it. */
  const showUnsent = () => {
    const why = 'The page was left before the API answered.'
    for (const task of unsent.get().adds) if (!task.isSending) showUnsentAdd(task, why)
    for (const { key, base, isSending } of unsent.get().edits)
      if (!isSending) showUnsentTick(key, `The change of “${base.title}” was not saved. ${why}`, true)
  }

  return {
    add,
    edit,
    openForm,
    type,
    closeForm,
    saveForm,
    endConflict,
    keepMine,
    remove,
    clearCompleted,
    showUnsent,
  }
}

/** What {@link useTaskActions} returns. */
export type TaskActions = ReturnType<typeof useTaskActions>

/** One for each task, with all that was changed in it. */
function withConflict(conflicts: Conflict[], { base, changes, current }: Conflict): Conflict[] {
  const before = conflicts.find(other => other.base.id === base.id)
  const merged = { base, changes: { ...before?.changes, ...changes }, current }
  return before ? conflicts.map(other => (other === before ? merged : other)) : [...conflicts, merged]
}

/** The saved task has all of the changes already. */
function isSaved(changes: Changes, saved: Task): boolean {
  const {
    title = saved.title,
    notes = saved.notes,
    completed = saved.completed,
    dueAt = saved.dueAt,
  } = changes
  return (
    title === saved.title &&
    notes === saved.notes &&
    completed === saved.completed &&
    dueAt?.getTime() === saved.dueAt?.getTime()
  )
}
