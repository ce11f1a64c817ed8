import { useMutation } from '@tanstack/react-query'
import { isApiError, type Task } from 'trpc-bearer/client'
import { useTRPC } from './api.js'
import { useTaskLists } from './use-task-lists.js'

/** @param onConflict called with the saved task if it has another version by now */
export function useUpdateTask(onConflict: (saved: Task) => void) {
  const lists = useTaskLists()
  return useMutation(
    useTRPC().tasks.update.mutationOptions({
      onMutate: ({ id, version: _, ...patch }) =>
        lists.change(items => items.map(task => (task.id === id ? ({ ...task, ...patch } as Task) : task))),
      onError(error, _input, undo) {
        undo?.()
        if (isApiError(error) && error.data?.current) onConflict(error.data.current)
      },
      onSettled: lists.fetchAgain,
    }),
  )
}
