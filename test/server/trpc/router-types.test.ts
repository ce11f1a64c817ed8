import type { inferRouterError, inferRouterInputs, inferRouterOutputs } from '@trpc/server'
import type { Kysely } from 'kysely'
import { expect, expectTypeOf, test } from 'vitest'
import type { Database } from '../../../db/index.js'
import { type AppRouter, appRouter, protectedProcedure } from '../../../server/index.js'
import type { RouterInputs, RouterOutputs, Task, TaskPatch, User } from '../../../shared/index.js'

type Inputs = inferRouterInputs<typeof appRouter>
type Outputs = inferRouterOutputs<typeof appRouter>

test('the types of trpc-bearer/shared equal those of the router, without importing it', () => {
  const shared: Record<keyof Outputs | `tasks.${keyof Outputs['tasks']}`, true> = {
    health: true,
    me: true,
    tasks: true,
    'tasks.clearCompleted': true,
    'tasks.create': true,
    'tasks.delete': true,
    'tasks.get': true,
    'tasks.list': true,
    'tasks.update': true,
  }
  const names = Object.keys(appRouter._def.procedures)
  expect([...names, 'tasks'].sort()).toEqual(Object.keys(shared).sort())
  expectTypeOf<RouterOutputs>().toEqualTypeOf<Outputs>()
  expectTypeOf<inferRouterInputs<AppRouter>>().toEqualTypeOf<Inputs>()
  expectTypeOf<inferRouterOutputs<AppRouter>>().toEqualTypeOf<Outputs>()
  expectTypeOf<inferRouterError<AppRouter>>().toEqualTypeOf<inferRouterError<typeof appRouter>>()
  expectTypeOf<Omit<RouterInputs, 'tasks'>>().toEqualTypeOf<Omit<Inputs, 'tasks'>>()
  expectTypeOf<Omit<RouterInputs['tasks'], 'list'>>().toEqualTypeOf<Omit<Inputs['tasks'], 'list'>>()
  // No input is undefined for zod and void for tRPC.
  type List = Exclude<Inputs['tasks']['list'], void>
  expectTypeOf<Exclude<RouterInputs['tasks']['list'], void>>().toEqualTypeOf<List>()
})

test('procedures return Task and User', () => {
  expectTypeOf<Outputs['tasks']['get']>().toEqualTypeOf<Task>()
  expectTypeOf<Outputs['tasks']['create']>().toEqualTypeOf<Task>()
  expectTypeOf<Outputs['tasks']['update']>().toEqualTypeOf<Task>()
  expectTypeOf<Outputs['tasks']['list']['items']>().toEqualTypeOf<Task[]>()
  expectTypeOf<Outputs['me']>().toEqualTypeOf<User>()
  const patch = { title: 'Buy milk', dueAt: null } satisfies TaskPatch
  const update: Inputs['tasks']['update'] = { id: crypto.randomUUID(), ...patch }
  expect(update).toMatchObject(patch)
})

test('a protected procedure has a user and a typed database', () => {
  const procedure = protectedProcedure.query(({ ctx }) => {
    expectTypeOf(ctx.user).toEqualTypeOf<User>()
    expectTypeOf(ctx.db).toEqualTypeOf<Kysely<Database>>()
    // @ts-expect-error there is no such table
    ctx.db.selectFrom('nowhere')
  })
  expect(procedure._def.type).toBe('query')
})
