import type { Migration } from 'kysely/migration'
import { defaultRole, rolePattern } from '../application-role.js'
import * as tasks from './0001_tasks.js'

/** The package's own migrations, for an application role of the given name. */
export function migrationsFor(role: string): Record<string, Migration> {
  if (!rolePattern.test(role)) {
    throw new TypeError('The application role must be a plain lower-case PostgreSQL name, such as app_user.')
  }
  return {
    '0001_tasks': { up: db => tasks.up(db, role), down: tasks.down },
  }
}

/** The package's own migrations, for the role `app_user`. */
export const migrations: Record<string, Migration> = migrationsFor(defaultRole)
