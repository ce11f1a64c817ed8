import { type FormEvent, useRef } from 'react'
import { useDraft } from '../drafts.js'
import type { TaskActions } from './use-tasks.js'

/** The line that adds a task. If the task is refused, its title comes back. */
export function NewTask({ userId, actions }: { userId: string; actions: TaskActions }) {
  const draft = useDraft(userId, 'new task')
  const input = useRef<HTMLInputElement>(null)
  const title = draft.value.trim()
  const add = (event: FormEvent) => {
    event.preventDefault()
    input.current?.focus()
    if (title === '') return
    draft.discard()
    actions.create.mutateAsync({ id: crypto.randomUUID(), title }).catch(() => {
      if (input.current?.value === '') draft.set(title)
    })
  }
  return (
    <form className="new-task" onSubmit={add}>
      <input
        ref={input}
        aria-label="New task"
        placeholder="What needs doing?"
        value={draft.value}
        maxLength={500}
        autoComplete="off"
        enterKeyHint="done"
        onChange={event => draft.set(event.target.value)}
      />
      <button type="submit" className="primary">
        Add
      </button>
    </form>
  )
}
