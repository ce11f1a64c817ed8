import { useInfiniteQuery } from '@tanstack/react-query'
import { useTRPC } from './api.js'
import { NewTask } from './new-task.js'
import { TaskItem } from './task-item.js'

export function Tasks() {
  const trpc = useTRPC()
  const list = useInfiniteQuery(
    trpc.tasks.list.infiniteQueryOptions({}, { getNextPageParam: page => page.nextCursor }),
  )
  const tasks = list.data?.pages.flatMap(page => page.items) ?? []
  return (
    <>
      <NewTask />
      {list.error && <p role="alert">{list.error.message}</p>}
      <ul>
        {tasks.map(task => (
          <TaskItem key={task.id} task={task} />
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
