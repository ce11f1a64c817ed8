import { type KeyboardEvent, useEffect, useRef } from 'react'
import { localTime, type OpenForm } from './unsent.js'
import type { TaskActions } from './use-task-actions.js'

interface TaskFormProps {
  form: OpenForm
  actions: TaskActions
  /** The person has just opened it. A form that comes back takes no focus. */
  isFocused: boolean
}

/** A line of the list while it is edited. */
export function TaskForm({ form: { base, typed }, actions, isFocused }: TaskFormProps) {
  const { id } = base
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (isFocused) first.current?.focus()
  }, [isFocused])
  const onKeyDown = (event: KeyboardEvent<HTMLFormElement>) => {
    // The keys of an input method for Chinese or Japanese are not for the form.
    if (event.nativeEvent.isComposing) return
    if (event.key === 'Escape') actions.closeForm(id)
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit()
  }
  return (
    <li className="task task-open">
      <form
        aria-label={`Edit “${base.title}”`}
        onKeyDown={onKeyDown}
        onSubmit={event => {
          event.preventDefault()
          actions.saveForm(id)
        }}
      >
        <label>
          Title
          <input
            ref={first}
            value={typed.title ?? base.title}
            required
            dir="auto"
            onChange={event => actions.type(id, { title: event.target.value })}
          />
        </label>
        <label>
          Notes
          <textarea
            value={typed.notes ?? base.notes}
            rows={3}
            dir="auto"
            onChange={event => actions.type(id, { notes: event.target.value })}
          />
        </label>
        <label>
          Due
          <input
            type="datetime-local"
            value={typed.due ?? localTime(base.dueAt)}
            max="9999-12-31T23:59"
            onChange={event => actions.type(id, { due: event.target.value })}
          />
        </label>
        <div className="buttons">
          <button type="submit" className="primary">
            Save
          </button>
          <button type="button" onClick={() => actions.closeForm(id)}>
            Cancel
          </button>
          <span className="hint">Esc cancels</span>
        </div>
      </form>
    </li>
  )
}
