import { compile } from './compiled.js'
import type { Owned } from './logins.js'

/** The commands of the package as `npm run build` leaves them, run to their end for a database of two logins. */
export async function compileCommands() {
  const compiled = await compile()
  return {
    ...compiled,

    /** Runs `npm run migrate` of the owner for the login that serves. */
    async migrateFor({ ownerUrl, serverUrl, role }: Owned, env: Record<string, string> = {}) {
      await using command = compiled.migrate(compiled.path, {
        MIGRATION_DATABASE_URL: ownerUrl,
        DATABASE_URL: serverUrl,
        DATABASE_ROLE: role,
        ...env,
      })
      return await command.ended
    },

    /** Runs `npm run fence` of the login that serves. */
    async fenceOf({ serverUrl: DATABASE_URL, role: DATABASE_ROLE }: Owned, env: Record<string, string> = {}) {
      await using command = compiled.fence(compiled.path, { DATABASE_URL, DATABASE_ROLE, ...env })
      return await command.ended
    },
  }
}

/** The SQL that a command prints for an administrator. */
export const printedSql = (stderr: string) => stderr.split('\n').filter(line => /^ {2}.*;$/.test(line))
