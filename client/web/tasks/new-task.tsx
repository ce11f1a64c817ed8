import { type FormEvent, useRef } from 'react'
import { flushSync } from 'react-dom'
import { useStore } from '../store.js'
import type { UnsentStore } from './unsent.js'
import type { TaskActions } from './use-task-actions.js'

interface NewTaskProps {
  unsent: UnsentStore
  actions: TaskActions
  onAdd: () => void
}

/** The line that adds a task. If the task is refused, its title comes back. */
export function NewTask({ unsent, actions, onAdd }: NewTaskProps) {
  const { newTitle, adds } = useStore(unsent)
  const input = useRef<HTMLInputElement>(null)
  const title = newTitle.trim()
  const add = async (event: FormEvent) => {
    event.preventDefault()
    input.current?.focus()
    if (title === '') return
    onAdd()
    const empty = { id: crypto.randomUUID(), title, notes: '', dueAt: null, completed: false }
    // With the id of the first attempt, because the API may have added it.
    const failed = adds.find(other => !other.isSending && other.title === title)
    if ((await actions.add(failed ?? empty)) || unsent.get().newTitle !== '') return
    flushSync(() => unsent.update(() => ({ newTitle: title })))
    // Whoever is about to type the next title replaces it; it is in the notice too.
    if (document.activeElement === input.current) input.current?.select()
  }
  return (
    <form className="new-task" onSubmit={add}>
      <input
        ref={input}
        aria-label="New task"
        placeholder="What needs doing?"
        value={newTitle}
        dir="auto"
        autoComplete="off"
        enterKeyHint="done"
        onChange={event => unsent.update(() => ({ newTitle: event.target.value }))}
      />
      <button type="submit" className="primary">
        Add
      </button>
    </form>
  )
}
