import { useInfiniteQuery } from '@tanstack/react-query'
import { useTRPC } from '../api.js'

/** What the list shows. */
export interface TaskFilter {
  status: 'all' | 'open' | 'done'
  search: string
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
