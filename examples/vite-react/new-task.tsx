import { useMutation, useQueryClient } from '@tanstack/react-query'
import type { FormEvent } from 'react'
import { useTRPC } from './api.js'

export function NewTask() {
  const trpc = useTRPC()
  const queryClient = useQueryClient()
  const onSuccess = () => queryClient.invalidateQueries(trpc.tasks.list.pathFilter())
  const create = useMutation(trpc.tasks.create.mutationOptions({ onSuccess }))
  const add = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    create.mutate({ title: String(new FormData(event.currentTarget).get('title')) })
    event.currentTarget.reset()
  }
  return (
    <form onSubmit={add}>
      <input name="title" placeholder="What needs doing?" required />
      <button type="submit">Add</button>
      {create.error && <p role="alert">{create.error.message}</p>}
    </form>
  )
}
