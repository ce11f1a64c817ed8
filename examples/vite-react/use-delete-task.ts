import { useMutation } from '@tanstack/react-query'
import { useTRPC } from './api.js'
import { useTaskLists } from './use-task-lists.js'

export function useDeleteTask() {
  const lists = useTaskLists()
  return useMutation(
    useTRPC().tasks.delete.mutationOptions({
      onMutate: ({ id }) => lists.change(items => items.filter(task => task.id !== id)),
      onError: (_error, _input, undo) => undo?.(),
      onSettled: lists.fetchAgain,
    }),
  )
}
