import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Owned } from './logins.js'
import { root, startProgram } from './program.js'
import { temporaryFolder } from './temporary-folder.js'

const script = z.string().startsWith('node ')
const manifest = z.object({ scripts: z.object({ start: script, migrate: script, fence: script }) })

/** The commands of the package as `npm run build` leaves them, with an empty working folder. */
export async function builtCommands() {
  const { scripts } = manifest.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')))
  const folder = await temporaryFolder()
  // Node itself: a signal to npm does not reach it.
  const runner = (script: string) => {
    const [, ...args] = script.split(' ')
    const resolved = args.map(arg => (arg.startsWith('dist/') ? join(root, arg) : arg))
    return (cwd: string, env: Record<string, string> = {}) =>
      startProgram(process.execPath, resolved, { cwd, env })
  }
  const [start, migrate, fence] = [runner(scripts.start), runner(scripts.migrate), runner(scripts.fence)]
  return {
    path: folder.path,
    /** What `npm start` runs. */
    start,
    /** What `npm start` runs, on a free port, once it is ready. */
    async startReady(cwd: string, env: Record<string, string> = {}) {
      const child = start(cwd, { PORT: '0', ...env })
      const [, url = ''] = await child.waitForOutput(/^trpc-bearer runs at (http:\S+),/m)
      return { ...child, url }
    },
    /** What `npx trpc-bearer migrate` runs. */
    migrate,
    /** What `npx trpc-bearer fence` runs. */
    fence,

    /** Runs `npx trpc-bearer migrate` of the owner of a database for the login that serves. */
    async migrateFor({ ownerUrl, serverUrl, role }: Owned, env: Record<string, string> = {}) {
      await using command = migrate(folder.path, {
        MIGRATION_DATABASE_URL: ownerUrl,
        DATABASE_URL: serverUrl,
        DATABASE_ROLE: role,
        ...env,
      })
      return await command.ended
    },

    /** Runs `npx trpc-bearer fence` of the login that serves. */
    async fenceOf({ serverUrl: DATABASE_URL, role: DATABASE_ROLE }: Owned, env: Record<string, string> = {}) {
      await using command = fence(folder.path, { DATABASE_URL, DATABASE_ROLE, ...env })
      return await command.ended
    },
    [Symbol.asyncDispose]: folder[Symbol.asyncDispose],
  }
}

/** The SQL that a command prints for an administrator. */
export const printedSql = (stderr: string) => stderr.split('\n').filter(line => /^ {2}.*;$/.test(line))
