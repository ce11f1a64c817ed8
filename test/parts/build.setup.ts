import { execFile } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './program.js'

const sources = [
  'server',
  'db',
  'shared',
  'client',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'vite.config.ts',
]

/** Builds the package for the tests that run it, unless `dist` is newer than its sources. */
export default async function setup() {
  const built = await stat(join(root, 'dist/server/main.js')).catch(() => null)
  const changed = await Promise.all(sources.map(source => newest(join(root, source))))
  if (built !== null && built.mtimeMs > Math.max(...changed)) return
  await promisify(execFile)('npm', ['run', 'build'], { cwd: root }).catch(error => {
    throw new Error(`The build failed:\n${error.stdout}`)
  })
}

async function newest(path: string): Promise<number> {
  const status = await stat(path)
  if (!status.isDirectory()) return status.mtimeMs
  const names = await readdir(path)
  return Math.max(status.mtimeMs, ...(await Promise.all(names.map(name => newest(join(path, name))))))
}
