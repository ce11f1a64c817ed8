import { createClient } from 'trpc-bearer/client'
import type { booksRouter } from './server.js'

export const api = createClient<typeof booksRouter>({
  url: process.env.BOOKS_URL ?? 'http://127.0.0.1:3000/trpc',
  getToken: () => process.env.TOKEN,
})

await api.add.mutate({ title: 'A Room of One’s Own' })
console.log(await api.list.query())
