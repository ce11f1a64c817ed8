import { TRPCError } from '@trpc/server'
import { type Generated, type Kysely, sql } from 'kysely'
import { type Database, protectTable } from 'trpc-bearer/db'
import { protectedProcedure, router } from 'trpc-bearer/server'
import { z } from 'zod'

declare module 'trpc-bearer/db' {
  interface Database {
    projects: { org_id: Generated<string>; id: Generated<string>; name: string }
  }
}

/** The migration: the rows belong to an organisation, not to a user. */
export async function up(db: Kysely<Database>) {
  const columns = sql`org_id text, id uuid default gen_random_uuid(), name text, primary key (org_id, id)`
  await sql`create table projects (${columns})`.execute(db)
  await protectTable(db, 'projects', { owner: 'org_id', by: 'org' })
}

/** For callers who have one of these roles in the active organisation. The database does not know roles. */
const procedureFor = (...roles: string[]) =>
  protectedProcedure.use(({ ctx, next }) => {
    if (ctx.user.orgRoles?.some(role => roles.includes(role))) return next()
    throw new TRPCError({ code: 'FORBIDDEN', message: `Only for the role ${roles.join(' or ')}.` })
  })
const missing = () => new TRPCError({ code: 'NOT_FOUND' })

export const projectsRouter = router({
  list: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('projects').select(['id', 'name']).execute()),
  create: procedureFor('member', 'admin', 'owner')
    .input(z.object({ name: z.string().min(1) }))
    .mutation(({ ctx: { db }, input }) =>
      db.insertInto('projects').values(input).returning('id').executeTakeFirstOrThrow(),
    ),
  delete: procedureFor('admin', 'owner')
    .input(z.object({ id: z.uuid() }))
    .mutation(({ ctx: { db }, input: { id } }) =>
      db.deleteFrom('projects').where('id', '=', id).returning('id').executeTakeFirstOrThrow(missing),
    ),
})
