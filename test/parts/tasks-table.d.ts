import type { TasksTable } from '../../server/routers/tasks-table.js'

declare module 'trpc-bearer/db' {
  interface Database {
    tasks: TasksTable
  }
}
