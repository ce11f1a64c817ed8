import type { z } from 'zod'
import type { Task, taskCreateInput, taskIdInput, taskListInput, taskUpdateInput } from './task.js'
import type { User } from './user.js'

/** The input of each procedure. */
export interface RouterInputs {
  // biome-ignore lint/suspicious/noConfusingVoidType: void is how tRPC says "no input"
  health: void
  // biome-ignore lint/suspicious/noConfusingVoidType: void is how tRPC says "no input"
  me: void
  tasks: {
    list: z.input<typeof taskListInput>
    get: z.input<typeof taskIdInput>
    create: z.input<typeof taskCreateInput>
    update: z.input<typeof taskUpdateInput>
    delete: z.input<typeof taskIdInput>
    // biome-ignore lint/suspicious/noConfusingVoidType: void is how tRPC says "no input"
    clearCompleted: void
  }
}

/** The output of each procedure. */
export interface RouterOutputs {
  health: { ok: boolean }
  me: User
  tasks: {
    list: { items: Task[]; nextCursor: string | null }
    get: Task
    create: Task
    update: Task
    delete: { id: string }
    clearCompleted: { count: number }
  }
}
