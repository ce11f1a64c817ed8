import { useMutation } from '@tanstack/react-query'
import type { FormEvent } from 'react'
import { useTRPC } from './api.js'
import { useTaskLists } from './use-task-lists.js'

export function NewTask() {
  const lists = useTaskLists()
  const create = useMutation(
    useTRPC().tasks.create.mutationOptions({
      onMutate({ id = '', title }) {
        const now = new Date()
        const task = { id, title, notes: '', dueAt: null, completed: false, createdAt: now, updatedAt: now }
        return lists.change((items, page) => (page === 0 ? [{ ...task, version: 0 }, ...items] : items))
      },
      onError: (_error, _input, undo) => undo?.(),
      onSettled: lists.fetchAgain,
    }),
  )
  const add = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const title = String(new FormData(form).get('title'))
    // With an id of its own the call can be repeated. What was typed stays until the API has it.
    create.mutate({ id: crypto.randomUUID(), title }, { onSuccess: () => form.reset() })
  }
  return (
    <form onSubmit={add}>
      <input name="title" placeholder="What needs doing?" required />
      <button type="submit" disabled={create.isPending}>
        Add
      </button>
      {create.error && <p role="alert">{create.error.message}</p>}
    </form>
  )
}
