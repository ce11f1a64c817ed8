import type { Task } from '../../../shared/task.js'
import { ModalDialog } from '../modal-dialog.js'
import type { Conflict, TaskActions } from './use-tasks.js'

const fieldNames = { title: 'Title', notes: 'Notes', dueAt: 'Due', completed: 'Done' } as const
type Field = keyof typeof fieldNames

/** Shows both versions of a task that was changed in two places, and saves the one that is chosen. */
export function ConflictDialog({
  conflict: { mine, current },
  actions,
  close,
}: {
  conflict: Conflict
  actions: TaskActions
  close: () => void
}) {
  const fields = (Object.keys(fieldNames) as Field[]).filter(field => mine[field] !== undefined)
  const { id, version: _, ...changes } = mine
  const keepMine = () => {
    actions.update.mutate({ id, version: current.version, ...changes })
    close()
  }
  const keepCurrent = () => {
    actions.replace(current)
    close()
  }
  return (
    <ModalDialog title="This task was changed somewhere else">
      <p>
        While you edited it, another window saved version {current.version}. Which one do you want to keep?
      </p>
      <div className="versions">
        <Version name="Yours" fields={fields} task={mine} />
        <Version name="Saved" fields={fields} task={current} />
      </div>
      <div className="buttons">
        <button type="button" className="primary" onClick={keepMine}>
          Keep mine
        </button>
        <button type="button" onClick={keepCurrent}>
          Keep the saved one
        </button>
      </div>
    </ModalDialog>
  )
}

function Version({ name, fields, task }: { name: string; fields: Field[]; task: Partial<Task> }) {
  return (
    <section aria-label={name}>
      <h3>{name}</h3>
      <dl>
        {fields.map(field => (
          <div key={field}>
            <dt>{fieldNames[field]}</dt>
            <dd>{shown(task[field])}</dd>
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
