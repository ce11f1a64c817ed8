import { useEffect, useRef } from 'react'
import type { Task } from '../../../shared/task.js'
import { TaskForm } from './task-form.js'
import type { OpenForm } from './unsent.js'
import type { TaskActions } from './use-task-actions.js'

interface TaskItemProps {
  task: Task
  form: OpenForm | undefined
  actions: TaskActions
}

/** One line of the list. It opens into a form. */
export function TaskItem({ task, form, actions }: TaskItemProps) {
  const isNew = task.version === 0
  const isEditing = form !== undefined
  const opener = useRef<HTMLButtonElement>(null)
  const isOpened = useRef(false)
  useEffect(() => {
    if (isEditing || !isOpened.current) return
    isOpened.current = false
    opener.current?.focus()
  }, [isEditing])
  const edit = () => {
    isOpened.current = true
    actions.openForm(task)
  }
  if (form) return <TaskForm form={form} actions={actions} isFocused={isOpened.current} />
  return (
    <li className={task.completed ? 'task task-done' : 'task'} data-new={isNew || undefined}>
      <input
        type="checkbox"
        aria-label={`Complete “${task.title}”`}
        checked={task.completed}
        disabled={isNew}
        onChange={event => actions.edit({ base: task, changes: { completed: event.target.checked } })}
      />
      <div className="task-words">
        <button
          ref={opener}
          type="button"
          className="task-title"
          disabled={isNew}
          aria-label={`Edit “${task.title}”`}
          onClick={edit}
        >
          <span className="task-text" dir="auto">
            {task.title}
          </span>
          <svg className="task-pencil" viewBox="0 0 16 16" aria-hidden="true">
            <path d="m2 14 .7-3.3 8-8a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2l-8 8z" />
          </svg>
        </button>
        {task.notes !== '' && (
          <p className="task-notes" dir="auto">
            {task.notes}
          </p>
        )}
      </div>
      {task.dueAt && <DueDate dueAt={task.dueAt} isDone={task.completed} />}
      <button
        type="button"
        className="icon task-delete"
        aria-label={`Delete “${task.title}”`}
        disabled={isNew}
        onClick={() => void actions.remove(task)}
      >
        ×
      </button>
    </li>
  )
}

function DueDate({ dueAt, isDone }: { dueAt: Date; isDone: boolean }) {
  const isLate = !isDone && dueAt.getTime() < Date.now()
  const isThisYear = dueAt.getFullYear() === new Date().getFullYear()
  const text = dueAt.toLocaleString(undefined, {
    year: isThisYear ? undefined : 'numeric',
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
