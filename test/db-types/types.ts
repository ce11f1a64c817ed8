import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generate, PostgresDialect } from 'kysely-codegen'
import type { AnyKysely } from '../../db/schema.js'
import { root, run } from '../parts/program.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

/** Tables of the package that no query uses. */
const excludePattern = 'trpc_bearer.*'

/** The tables of a database as a TypeScript interface `DB`. */
export function typesOf(db: AnyKysely): Promise<string> {
  return generate({ db, dialect: new PostgresDialect(), excludePattern, outFile: null })
}

/** The differences between the types of the package's tables and these, as messages. */
export async function differencesFrom(types: string): Promise<string[]> {
  await using folder = await temporaryFolder()
  const { path } = folder
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions: { noErrorTruncation: true } }
  await writeFile(join(path, 'tsconfig.json'), JSON.stringify({ ...config, include: ['*.ts'] }))
  await writeFile(join(path, 'package.json'), '{ "type": "module" }')
  await symlink(join(root, 'node_modules'), join(path, 'node_modules'))
  await writeFile(join(path, 'migrated.ts'), types)
  await writeFile(
    join(path, 'check.ts'),
    `import type { TasksTable } from '${root}server/routers/tasks-table.js'
import type { Difference } from '${root}test/db-types/difference.js'
import type { DB } from './migrated.js'
declare const difference: \`- \${Difference<{ tasks: TasksTable }, DB>}\`
export const none: 'none' = difference
`,
  )
  const { code, stdout } = await run(join(root, 'node_modules/.bin/tsc'), ['--pretty', 'false', '-p', path])
  if (code === 0) return []
  const [, found = ''] = /^\S*check\.ts\S+ error TS2322: Type (.+) is not assignable/m.exec(stdout) ?? []
  const differences = [...found.matchAll(/"- (.+?)"/g)].map(([, difference = '']) => difference)
  if (differences.length === 0) throw new Error(`The types cannot be compared:\n${stdout}`)
  return differences.sort()
}
