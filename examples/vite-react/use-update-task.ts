import { type InfiniteData, useMutation } from '@tanstack/react-query'
import { isApiError, type Task } from 'trpc-bearer/client'
import { useTRPC } from './api.js'

type Pages = InfiniteData<{ items: Task[]; nextCursor: string | null }>

/**
 * Shows a change at once, and takes it back if the API refuses it.
 *
 * @param onConflict called if the task has another version by now, which is saved already
 */
export function useUpdateTask(onConflict: (saved: Task) => void) {
  const trpc = useTRPC()
  const lists = trpc.tasks.list.pathFilter()
  return useMutation(
    trpc.tasks.update.mutationOptions({
      async onMutate({ id, version: _, ...patch }, { client }) {
        await client.cancelQueries(lists) // an older answer would overwrite the change
        const before = client.getQueriesData<Pages>(lists)
        client.setQueriesData<Pages>(lists, data => {
          const change = (task: Task) => (task.id === id ? ({ ...task, ...patch } as Task) : task)
          return (
            data && { ...data, pages: data.pages.map(page => ({ ...page, items: page.items.map(change) })) }
          )
        })
        return before
      },
      onError(error, _, before, { client }) {
        for (const [key, data] of before ?? []) client.setQueryData(key, data)
        if (isApiError(error) && error.data?.current) onConflict(error.data.current)
      },
      onSettled: (_data, _error, _input, _before, { client }) => client.invalidateQueries(lists),
    }),
  )
}
