import { type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from 'react'
import type { Task } from '../../../shared/task.js'
import { UserChangedError } from '../../current-user.js'
import { hasDraft, saveDraft, useDraft } from '../drafts.js'
import type { TaskActions } from './use-tasks.js'

interface TaskItemProps {
  task: Task
  userId: string
  actions: TaskActions
}

/** One line of the list. It opens into a form. */
export function TaskItem({ task, userId, actions }: TaskItemProps) {
  const isNew = task.version === 0
  const [isEditing, setEditing] = useState(
    () => hasDraft(userId, `${task.id} title`) || hasDraft(userId, `${task.id} notes`),
  )
  const opener = useRef<HTMLButtonElement>(null)
  const wasEditing = useRef(isEditing)
  useEffect(() => {
    if (wasEditing.current && !isEditing) opener.current?.focus()
    wasEditing.current = isEditing
  }, [isEditing])
  // The list follows a moment later, and React would show the old value until then.
  const [ticked, setTicked] = useState<boolean | null>(null)
  // An edit that is saved before the tick is must not be a conflict with it.
  const tickedVersion = useRef(Promise.resolve(0))
  const tick = (completed: boolean) => {
    setTicked(completed)
    const { id, version } = task
    tickedVersion.current = actions.update.mutateAsync({ id, version, completed }).then(
      saved => saved.version,
      () => 0,
    )
    void tickedVersion.current.then(() => setTicked(null))
  }
  if (isEditing)
    return (
      <TaskForm
        task={task}
        userId={userId}
        actions={actions}
        setEditing={setEditing}
        tickedVersion={tickedVersion.current}
      />
    )
  return (
    <li className={task.completed ? 'task task-done' : 'task'} data-new={isNew || undefined}>
      <input
        type="checkbox"
        aria-label={`Complete “${task.title}”`}
        checked={ticked ?? task.completed}
        disabled={isNew}
        onChange={event => tick(event.target.checked)}
      />
      <div className="task-words">
        <button
          ref={opener}
          type="button"
          className="task-title"
          disabled={isNew}
          aria-label={`Edit “${task.title}”`}
          onClick={() => setEditing(true)}
        >
          <span className="task-text">{task.title}</span>
          <svg className="task-pencil" viewBox="0 0 16 16" aria-hidden="true">
            <path d="m2 14 .7-3.3 8-8a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2l-8 8z" />
          </svg>
        </button>
        {task.notes !== '' && <p className="task-notes">{task.notes}</p>}
      </div>
      {task.dueAt && <DueDate dueAt={task.dueAt} isDone={task.completed} />}
      <button
        type="button"
        className="icon task-delete"
        aria-label={`Delete “${task.title}”`}
        disabled={isNew}
        onClick={() => actions.remove(task)}
      >
        ×
      </button>
    </li>
  )
}

function DueDate({ dueAt, isDone }: { dueAt: Date; isDone: boolean }) {
  const isLate = !isDone && dueAt.getTime() < Date.now()
  const text = dueAt.toLocaleString(undefined, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
  })
  return (
    <time className={isLate ? 'due due-late' : 'due'} dateTime={dueAt.toISOString()}>
      {isLate ? 'late · ' : ''}
      {text}
    </time>
  )
}

function TaskForm({
  task,
  userId,
  actions,
  setEditing,
  tickedVersion,
}: TaskItemProps & { setEditing: (is: boolean) => void; tickedVersion: Promise<number> }) {
  // The version that was on the screen when the editing began: what another window saves meanwhile is a conflict.
  const [version] = useState(task.version)
  const title = useDraft(userId, `${task.id} title`, task.title)
  const notes = useDraft(userId, `${task.id} notes`, task.notes)
  const [dueAt, setDueAt] = useState(localTime(task.dueAt))
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => first.current?.focus(), [])
  const close = () => {
    title.discard()
    notes.discard()
    setEditing(false)
  }
  const send = async (changes: object) =>
    actions.update.mutateAsync({ id: task.id, version: Math.max(version, await tickedVersion), ...changes })
  const save = (event: FormEvent) => {
    event.preventDefault()
    const changes = {
      ...(title.value.trim() !== task.title && { title: title.value.trim() }),
      ...(notes.value !== task.notes && { notes: notes.value }),
      ...(dueAt !== localTime(task.dueAt) && { dueAt: dueAt === '' ? null : new Date(dueAt) }),
    }
    const [typedTitle, typedNotes] = [title.value, notes.value]
    close()
    if (Object.keys(changes).length === 0) return
    send(changes).catch(error => {
      // The two versions of a conflict are shown elsewhere, and of somebody who has signed out nothing stays in the tab.
      if (error.data?.code === 'CONFLICT' || error.cause instanceof UserChangedError) return
      if (changes.title !== undefined) saveDraft(userId, `${task.id} title`, typedTitle)
      if (changes.notes !== undefined) saveDraft(userId, `${task.id} notes`, typedNotes)
      setEditing(true)
    })
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') close()
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) save(event)
  }
  return (
    <li className="task task-open">
      <form onSubmit={save} onKeyDown={onKeyDown} aria-label={`Edit “${task.title}”`}>
        <label>
          Title
          <input
            ref={first}
            value={title.value}
            required
            maxLength={500}
            onChange={e => title.set(e.target.value)}
          />
        </label>
        <label>
          Notes
          <textarea
            value={notes.value}
            rows={3}
            maxLength={10_000}
            onChange={e => notes.set(e.target.value)}
          />
        </label>
        <label>
          Due
          <input type="datetime-local" value={dueAt} onChange={e => setDueAt(e.target.value)} />
        </label>
        <div className="buttons">
          <button type="submit" className="primary">
            Save
          </button>
          <button type="button" onClick={close}>
            Cancel
          </button>
          <span className="hint">Esc cancels</span>
        </div>
      </form>
    </li>
  )
}

/** As `<input type="datetime-local">` has it. */
function localTime(date: Date | null): string {
  if (date === null) return ''
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}
