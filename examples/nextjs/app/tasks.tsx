'use client'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import type { FormEvent } from 'react'
import { useTRPC } from '@/lib/api'
import { authClient } from '@/lib/auth-client'
import { InProcess } from './in-process'

export function Tasks() {
  const trpc = useTRPC()
  const queryClient = useQueryClient()
  const list = useQuery(trpc.tasks.list.queryOptions())
  const onSuccess = () => queryClient.invalidateQueries() // those of the route of Next.js too
  const create = useMutation(trpc.tasks.create.mutationOptions({ onSuccess }))
  const add = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const title = String(new FormData(form).get('title'))
    create.mutate({ title }, { onSuccess: () => form.reset() })
  }
  const error = list.error ?? create.error
  return (
    <>
      <h1>Tasks</h1>
      <button type="button" onClick={() => authClient.signOut()}>
        Sign out
      </button>
      <form onSubmit={add}>
        <input name="title" aria-label="New task" placeholder="What needs doing?" required />
        <button type="submit">Add</button>
      </form>
      {error && <p role="alert">{error.message}</p>}
      <ul>
        {list.data?.items.map(task => (
          <li key={task.id}>{task.title}</li>
        ))}
      </ul>
      <InProcess />
    </>
  )
}
