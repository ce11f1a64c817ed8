import { useState } from 'react'
import type { Task } from 'trpc-bearer/client'
import { useDeleteTask } from './use-delete-task.js'
import { useUpdateTask } from './use-update-task.js'

export function TaskItem({ task }: { task: Task }) {
  const { id, version, title, completed } = task
  const [saved, setSaved] = useState<Task>()
  const update = useUpdateTask(setSaved)
  const remove = useDeleteTask()
  const keepMine = () => {
    if (saved) update.mutate({ id, version: saved.version, completed: !saved.completed })
    setSaved(undefined)
  }
  return (
    <li>
      <label>
        <input
          type="checkbox"
          checked={completed}
          disabled={version === 0 || update.isPending}
          onChange={() => update.mutate({ id, version, completed: !completed })}
        />
        {title}
      </label>
      <button type="button" onClick={() => remove.mutate({ id })}>
        Delete
      </button>
      {saved && (
        <p role="alert">
          This task was changed somewhere else.{' '}
          <button type="button" onClick={keepMine}>
            Change it all the same
          </button>
        </p>
      )}
    </li>
  )
}
