import type { Task } from '../../../shared/task.js'
import { ModalDialog } from '../modal-dialog.js'
import type { Changes, Conflict } from './unsent.js'
import type { TaskActions } from './use-task-actions.js'

const fieldNames = { title: 'Title', notes: 'Notes', dueAt: 'Due', completed: 'Done' } as const
type Field = keyof typeof fieldNames
const fields = Object.keys(fieldNames) as Field[]

/** Shows both versions of a task that was changed in two places, and saves the one that is chosen. */
export function ConflictDialog({ conflict, actions }: { conflict: Conflict; actions: TaskActions }) {
  const { changes, current } = conflict
  return (
    <ModalDialog title="This task was changed somewhere else">
      <p>
        While you edited it, another window saved version {current.version}. Which one do you want to keep?
        “Keep mine” saves only the fields that are listed as yours.
      </p>
      <div className="versions">
        <Version name="Yours" task={changes} />
        <Version name="Saved" task={current} />
      </div>
      <div className="buttons">
        <button type="button" className="primary" onClick={() => actions.keepMine(conflict)}>
          Keep mine
        </button>
        <button type="button" onClick={() => actions.endConflict(current)}>
          Keep the saved one
        </button>
      </div>
    </ModalDialog>
  )
}

function Version({ name, task }: { name: string; task: Changes }) {
  return (
    <section aria-label={name}>
      <h3>{name}</h3>
      <dl>
        {fields
          .filter(field => task[field] !== undefined)
          .map(field => (
            <div key={field}>
              <dt>{fieldNames[field]}</dt>
              <dd dir="auto">{shown(task[field])}</dd>
            </div>
          ))}
      </dl>
    </section>
  )
}

function shown(value: Task[Field] | undefined): string {
  if (value instanceof Date) return value.toLocaleString()
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return value || '(empty)'
}
