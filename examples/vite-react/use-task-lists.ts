import { type InfiniteData, useQueryClient } from '@tanstack/react-query'
import type { Task } from 'trpc-bearer/client'
import { useTRPC } from './api.js'

type Pages = InfiniteData<{ items: Task[]; nextCursor: string | null }>

/** What a mutation does with the lists in memory: it changes them at once, and takes that back if the API refuses it. */
export function useTaskLists() {
  const lists = useTRPC().tasks.list.pathFilter()
  const client = useQueryClient()
  return {
    /** @returns what takes the change back */
    async change(change: (items: Task[], pageNumber: number) => Task[]) {
      await client.cancelQueries(lists) // an older answer would overwrite the change
      const before = client.getQueriesData<Pages>(lists)
      client.setQueriesData<Pages>(
        lists,
        data =>
          data && {
            ...data,
            pages: data.pages.map((page, number) => ({ ...page, items: change(page.items, number) })),
          },
      )
      return () => {
        for (const [key, data] of before) client.setQueryData(key, data)
      }
    },
    fetchAgain: () => client.invalidateQueries(lists),
  }
}
