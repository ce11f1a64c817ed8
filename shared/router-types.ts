import type { TRPCBuiltRouter, TRPCMutationProcedure, TRPCQueryProcedure } from '@trpc/server'
import type { z } from 'zod'
import type { ErrorShape } from './error-data.js'
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

interface Definition<Input, Output> {
  input: Input
  output: Output
  meta: object
}
type Tasks = RouterInputs['tasks']
type Query<Name extends keyof Tasks> = TRPCQueryProcedure<
  Definition<Tasks[Name], RouterOutputs['tasks'][Name]>
>
type Mutation<Name extends keyof Tasks> = TRPCMutationProcedure<
  Definition<Tasks[Name], RouterOutputs['tasks'][Name]>
>

/** The type of `appRouter`, for clients. It needs nothing that only the server has. */
export type AppRouter = TRPCBuiltRouter<
  { ctx: object; meta: object; errorShape: ErrorShape; transformer: true },
  {
    health: TRPCQueryProcedure<Definition<RouterInputs['health'], RouterOutputs['health']>>
    me: TRPCQueryProcedure<Definition<RouterInputs['me'], RouterOutputs['me']>>
    tasks: {
      list: Query<'list'>
      get: Query<'get'>
      create: Mutation<'create'>
      update: Mutation<'update'>
      delete: Mutation<'delete'>
      clearCompleted: Mutation<'clearCompleted'>
    }
  }
>
