import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query'
import type { FormEvent } from 'react'
import { isApiError } from 'trpc-bearer/client'
import { useTRPC } from './api.js'
import { useUpdateTask } from './use-update-task.js'

export function Tasks() {
  const trpc = useTRPC()
  const queryClient = useQueryClient()
  const onSuccess = () => queryClient.invalidateQueries(trpc.tasks.list.pathFilter())
  const list = useInfiniteQuery(
    trpc.tasks.list.infiniteQueryOptions({}, { getNextPageParam: page => page.nextCursor }),
  )
  const create = useMutation(trpc.tasks.create.mutationOptions({ onSuccess }))
  const update = useUpdateTask(saved => alert(`Changed somewhere else: ${saved.title}`))
  const add = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    create.mutate({ title: String(new FormData(event.currentTarget).get('title')) })
    event.currentTarget.reset()
  }
  const error = list.error ?? create.error ?? update.error
  return (
    <>
      <form onSubmit={add}>
        <input name="title" placeholder="What needs doing?" required />
        <button type="submit">Add</button>
      </form>
      {error && <p role="alert">{isApiError(error) ? error.message : 'Something went wrong.'}</p>}
      <ul>
        {list.data?.pages
          .flatMap(page => page.items)
          .map(({ id, version, title, completed }) => (
            <li key={id}>
              <label>
                <input
                  type="checkbox"
                  checked={completed}
                  onChange={() => update.mutate({ id, version, completed: !completed })}
                />
                {title}
              </label>
            </li>
          ))}
      </ul>
      {list.hasNextPage && (
        <button type="button" onClick={() => list.fetchNextPage()}>
          More
        </button>
      )}
    </>
  )
}
