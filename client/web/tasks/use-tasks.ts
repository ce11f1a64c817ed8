import { type InfiniteData, useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query'
import type { Task } from '../../../shared/task.js'
import { isApiError } from '../../client.js'
import { useTRPC, useTRPCClient } from '../api.js'
import type { Notices } from '../notices.js'

/** What the list shows. */
export interface TaskFilter {
  status: 'all' | 'open' | 'done'
  search: string
}

interface Page {
  items: Task[]
  nextCursor: string | null
}

/** The list, page by page. */
export function useTaskList({ status, search }: TaskFilter) {
  const trpc = useTRPC()
  return useInfiniteQuery(
    trpc.tasks.list.infiniteQueryOptions(
      { limit: 25, status, ...(search && { search }) },
      { getNextPageParam: page => page.nextCursor, placeholderData: previous => previous },
    ),
  )
}

/** Two versions of a task, of which the person chooses one. */
export interface Conflict {
  mine: TaskChange
  current: Task
}

/** Fields that somebody has changed, and the version that they saw. */
export type TaskChange = Pick<Task, 'id' | 'version'> &
  Partial<Pick<Task, 'title' | 'notes' | 'completed' | 'dueAt'>>

export interface TaskActionOptions {
  notices: Notices
  onConflict: (conflict: Conflict) => void
}

/** The changes of tasks. Each shows at once, and is taken back with a notice if the API refuses it. */
export function useTaskActions({ notices, onConflict }: TaskActionOptions) {
  const trpc = useTRPC()
  const client = useTRPCClient()
  const queryClient = useQueryClient()
  const lists = trpc.tasks.list.pathFilter()
  const mutationKey = trpc.tasks.pathKey()

  /** Changes every list that is in memory, and returns what takes the change back. */
  const changeLists = async (change: (tasks: Task[], pageNumber: number) => Task[]) => {
    await queryClient.cancelQueries(lists)
    const before = queryClient.getQueriesData<InfiniteData<Page>>(lists)
    queryClient.setQueriesData<InfiniteData<Page>>(lists, data =>
      data === undefined
        ? data
        : {
            ...data,
            pages: data.pages.map((page, number) => ({ ...page, items: change(page.items, number) })),
          },
    )
    return () => {
      for (const [key, data] of before) queryClient.setQueryData(key, data)
    }
  }
  const replace = (task: Task) =>
    changeLists(tasks => tasks.map(other => (other.id === task.id ? task : other)))
  /** The last of several changes at once asks the API: an earlier answer would undo the others for a moment. */
  const onSettled = () => {
    if (queryClient.isMutating({ mutationKey }) <= 1) return queryClient.invalidateQueries(lists)
  }
  const fail = (error: unknown, problem: string, retry: () => void) =>
    notices.show({ problem: `${problem} ${explain(error)}`, action: { label: 'Try again', run: retry } })

  const create = useMutation(
    trpc.tasks.create.mutationOptions({
      onMutate: ({ id = '', title, notes = '', dueAt = null }) => {
        const now = new Date()
        const task = { id, title, notes, dueAt, completed: false, createdAt: now, updatedAt: now, version: 0 }
        return changeLists((tasks, pageNumber) => (pageNumber === 0 ? [task, ...tasks] : tasks))
      },
      onError(error, input, undo) {
        undo?.()
        fail(error, `“${input.title}” was not added.`, () => create.mutate(input))
      },
      onSettled,
    }),
  )

  const update = useMutation(
    trpc.tasks.update.mutationOptions({
      onMutate: ({ id, version: _, ...patch }) =>
        changeLists(tasks => tasks.map(task => (task.id === id ? withPatch(task, patch) : task))),
      onSuccess: replace,
      onError(error, input, undo) {
        undo?.()
        const current = isApiError(error) ? error.data?.current : undefined
        if (current !== undefined) return onConflict({ mine: input as TaskChange, current })
        fail(error, 'The change was not saved.', () => update.mutate(input))
      },
      onSettled,
    }),
  )

  const remove = useMutation(
    trpc.tasks.delete.mutationOptions({
      onMutate: ({ id }) => changeLists(tasks => tasks.filter(task => task.id !== id)),
      onError(error, input, undo) {
        undo?.()
        fail(error, 'The task was not deleted.', () => remove.mutate(input))
      },
      onSettled,
    }),
  )

  const clearCompleted = useMutation(
    trpc.tasks.clearCompleted.mutationOptions({
      onMutate: () => changeLists(tasks => tasks.filter(task => !task.completed)),
      onError(error, _, undo) {
        undo?.()
        fail(error, 'The completed tasks were not deleted.', () => void clearCompletedWithUndo())
      },
      onSettled,
    }),
  )

  /** The same task again, at the top of the list. */
  const restore = ({ id, title, notes, dueAt, completed }: Task) => {
    create.mutate(
      { id, title, notes, dueAt },
      { onSuccess: () => completed && update.mutate({ id, completed }) },
    )
  }

  const removeWithUndo = (task: Task) =>
    remove.mutate(
      { id: task.id },
      {
        onSuccess: () =>
          notices.show({
            done: `“${task.title}” deleted.`,
            action: { label: 'Undo', run: () => restore(task) },
          }),
      },
    )

  /** Of more tasks than one page holds there is no undo. */
  const clearCompletedWithUndo = async () => {
    const done = await client.tasks.list.query({ status: 'done', limit: 100 }).catch(() => null)
    clearCompleted.mutate(undefined, {
      onSuccess({ count }) {
        const run = () => {
          for (const task of done?.items.toReversed() ?? []) restore(task)
        }
        const canUndo = done !== null && done.items.length === count
        notices.show({
          done: count === 1 ? '1 task deleted.' : `${count} tasks deleted.`,
          action: canUndo ? { label: 'Undo', run } : undefined,
        })
      },
    })
  }

  return { create, update, remove: removeWithUndo, clearCompleted: clearCompletedWithUndo, replace }
}

/** What {@link useTaskActions} returns. */
export type TaskActions = ReturnType<typeof useTaskActions>

const withPatch = (task: Task, patch: object): Task => ({
  ...task,
  ...Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined)),
})

/** Why a call failed, for a person. */
export function explain(error: unknown): string {
  if (!isApiError(error)) return 'Something unexpected happened.'
  const fields = Object.values(error.data?.fields ?? {}).flat()
  if (fields.length > 0) return fields.join(' ')
  switch (error.data?.code) {
    case undefined:
      return 'The API did not answer.'
    case 'UNAUTHORIZED':
      return 'Your session has ended.'
    case 'NOT_FOUND':
      return 'The task does not exist any more.'
    case 'SERVICE_UNAVAILABLE':
    case 'TIMEOUT':
    case 'GATEWAY_TIMEOUT':
      return 'The API is not available right now.'
    default:
      return 'The API could not do it.'
  }
}
