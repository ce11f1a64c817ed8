import { useEffect, useRef, useState } from 'react'
import type { Notices } from '../notices.js'
import { useStore } from '../store.js'
import { ConflictDialog } from './conflict-dialog.js'
import { explain } from './explain.js'
import { NewTask } from './new-task.js'
import { TaskItem } from './task-item.js'
import { isWaiting, type UnsentStore, withUnsent } from './unsent.js'
import { useTaskActions } from './use-task-actions.js'
import { type TaskFilter, useTaskList } from './use-task-list.js'

const statuses = { all: 'All', open: 'Open', done: 'Done' } as const

interface TaskListProps {
  userId: string
  unsent: UnsentStore
  notices: Notices
}

/** The tasks of one person. */
export function TaskList({ userId, unsent, notices }: TaskListProps) {
  const [status, setStatus] = useState<TaskFilter['status']>('all')
  const [search, setSearch] = useState('')
  const list = useTaskList({ status, search: useSettled(search.trim()) })
  const actions = useTaskActions(unsent, notices)
  const now = useStore(unsent)
  const fetched = list.data?.pages.flatMap(page => page.items) ?? []
  const tasks = withUnsent(fetched, now)
  const isEmpty = tasks.every(({ id, version }) => version > 0 && !fetched.some(task => task.id === id))
  const conflict = now.conflicts[0]
  const isFiltered = status !== 'all' || search !== ''
  const mayHaveCompleted = isFiltered || list.hasNextPage || tasks.some(task => task.completed)
  const { showUnsent } = actions
  useEffect(showUnsent, [])
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => {
      if (isWaiting(unsent.get())) event.preventDefault()
    }
    addEventListener('beforeunload', warn)
    return () => removeEventListener('beforeunload', warn)
  }, [unsent])
  const showAdded = () => {
    setSearch('')
    if (status === 'done') setStatus('all')
  }
  const showAll = () => {
    setStatus('all')
    setSearch('')
  }
  return (
    <>
      <NewTask unsent={unsent} actions={actions} onAdd={showAdded} />
      <search className="filters">
        <fieldset className="segments">
          <legend className="hidden">Show</legend>
          {Object.entries(statuses).map(([value, label]) => (
            <label key={value}>
              <input
                type="radio"
                name={`status-${userId}`}
                checked={status === value}
                onChange={() => setStatus(value as TaskFilter['status'])}
              />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        <input
          type="search"
          aria-label="Search tasks"
          placeholder="Search"
          maxLength={200}
          dir="auto"
          value={search}
          onChange={event => setSearch(event.target.value)}
        />
        <button type="button" disabled={!mayHaveCompleted} onClick={() => void actions.clearCompleted(tasks)}>
          {isFiltered ? 'Clear all completed, also hidden ones' : 'Clear completed'}
        </button>
      </search>
      {list.error && <ListProblem error={list.error} retry={() => list.refetch()} isEmpty={isEmpty} />}
      {list.isPending ? (
        <Skeleton />
      ) : (
        <ul className="tasks" aria-label="Tasks" aria-busy={list.isPlaceholderData}>
          {tasks.map(task => (
            <TaskItem
              key={task.id}
              task={task}
              form={now.forms.find(({ base }) => base.id === task.id)}
              actions={actions}
            />
          ))}
        </ul>
      )}
      {list.isSuccess && isEmpty && (
        <div className="empty">
          {isFiltered ? (
            <>
              <p>No task matches.</p>
              <button type="button" onClick={showAll}>
                Show all tasks
              </button>
            </>
          ) : (
            <p>
              <strong>Nothing to do yet.</strong> Type your first task above and press Enter. Only you will
              ever see it.
            </p>
          )}
        </div>
      )}
      <NextPage
        hasNext={list.hasNextPage}
        isLoading={list.isFetchingNextPage}
        load={() => void list.fetchNextPage()}
      />
      {conflict && <ConflictDialog key={conflict.base.id} conflict={conflict} actions={actions} />}
    </>
  )
}

/** A value that has not changed for a moment, so that not each letter is a call. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 200)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}

function ListProblem({ error, retry, isEmpty }: { error: unknown; retry: () => void; isEmpty: boolean }) {
  return (
    <div className="problem" role="alert">
      <p>
        {explain(error)} {isEmpty ? 'Your tasks cannot be shown.' : 'What you see may be old.'}
      </p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  )
}

/** Loads the next page when it comes into view, or by its button. */
function NextPage({ hasNext, isLoading, load }: { hasNext: boolean; isLoading: boolean; load: () => void }) {
  const end = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (!hasNext || isLoading || end.current === null) return
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && load(), {
      rootMargin: '200px',
    })
    observer.observe(end.current)
    return () => observer.disconnect()
  })
  if (!hasNext) return null
  return (
    <div ref={end} className="next-page">
      <button type="button" disabled={isLoading} onClick={load}>
        {isLoading ? 'Loading…' : 'Show more'}
      </button>
    </div>
  )
}

const Skeleton = () => (
  <div className="skeleton" role="status">
    <span className="hidden">Loading the tasks</span>
    <i />
    <i />
    <i />
  </div>
)
