import { type InfiniteData, useQueryClient } from '@tanstack/react-query'
import type { Task } from '../../../shared/task.js'
import { isApiError } from '../../client.js'
import { useTRPC, useTRPCClient } from '../api.js'
import type { Edit, NewTask } from './unsent.js'

interface Page {
  items: Task[]
  nextCursor: string | null
}

/**
 * The calls that change tasks. When one returns, the lists in memory have its result.
 */
export function useTaskCalls() {
  const trpc = useTRPC()
  const client = useTRPCClient()
  const queryClient = useQueryClient()
  const lists = trpc.tasks.list.pathFilter()
  const mutationKey = trpc.tasks.pathKey()

  /** The calls of one task run one after the other, and wait while the browser is offline. */
  const inTurn = async <T>(taskId: string, mutationFn: () => Promise<T>): Promise<T> => {
    const options = { mutationKey, mutationFn, scope: { id: taskId } }
    try {
      return await queryClient.getMutationCache().build(queryClient, options).execute(undefined)
    } finally {
      // The last of several changes at once asks the API: an earlier answer would not have the others.
      if (queryClient.isMutating({ mutationKey }) === 0) void queryClient.invalidateQueries(lists)
    }
  }
  const changeLists = async (change: (tasks: Task[], pageNumber: number) => Task[]) => {
    await queryClient.cancelQueries(lists)
    queryClient.setQueriesData<InfiniteData<Page>>(
      lists,
      data =>
        data && {
          ...data,
          pages: data.pages.map((page, number) => ({ ...page, items: change(page.items, number) })),
        },
    )
  }
  const replace = (task: Task) =>
    changeLists(tasks => tasks.map(other => (other.id === task.id ? task : other)))

  return {
    inTurn,
    replace,
    add: ({ id, title, notes, dueAt, completed }: NewTask) =>
      inTurn(id, async () => {
        let task = await client.tasks.create.mutate({ id, title, notes, dueAt })
        if (completed && !task.completed)
          task = await client.tasks.update.mutate({ id, version: task.version, completed })
        await changeLists((tasks, pageNumber) => {
          const others = tasks.filter(other => other.id !== id)
          return pageNumber === 0 ? [task, ...others] : others
        })
      }),
    /** Call it in turn: what follows from its answer must be known before the next call. */
    async update({ base: { id, version }, changes }: Edit) {
      const send = () => client.tasks.update.mutate({ id, version, ...changes })
      // Without an answer the change may be saved: a second call tells, before the next change meets it.
      const task = await send().catch(error => {
        if (isApiError(error) && error.data == null) return send()
        throw error
      })
      await replace(task)
      return task
    },
    remove: (id: string) =>
      inTurn(id, async () => {
        await client.tasks.delete.mutate({ id })
        await changeLists(tasks => tasks.filter(task => task.id !== id))
      }),
    /** @returns how many were deleted, and which if they fit into one page */
    clearCompleted: () =>
      inTurn('completed', async () => {
        const done = await client.tasks.list.query({ status: 'done', limit: 100 }).catch(() => null)
        const { count } = await client.tasks.clearCompleted.mutate()
        await changeLists(tasks => tasks.filter(task => !task.completed))
        return { count, tasks: done?.items.length === count ? done.items : [] }
      }),
  }
}
