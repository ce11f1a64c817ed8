import { useInfiniteQuery } from '@tanstack/react-query'
import { useTRPC } from './api.js'
import { NewTask } from './new-task.js'
import { useUpdateTask } from './use-update-task.js'

export function Tasks() {
  const trpc = useTRPC()
  const list = useInfiniteQuery(
    trpc.tasks.list.infiniteQueryOptions({}, { getNextPageParam: page => page.nextCursor }),
  )
  const update = useUpdateTask(saved => alert(`Changed somewhere else: ${saved.title}`))
  const tasks = list.data?.pages.flatMap(page => page.items) ?? []
  return (
    <>
      <NewTask />
      {list.error && <p role="alert">{list.error.message}</p>}
      <ul>
        {tasks.map(({ id, version, title, completed }) => (
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
