import { execFile } from 'node:child_process'
import { cp, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { temporaryFolder } from './database.js'
import { root, startProgram } from './running.js'

const run = promisify(execFile)
const manifest = z.object({ scripts: z.object({ start: z.string().startsWith('node ') }) })

/** The repository as `npm run build` leaves it, in a folder of its own: `dist` is being read by other tests. */
export async function compile() {
  const folder = await temporaryFolder()
  const build = ['run', 'build', '--', '--outDir', join(folder.path, 'dist')]
  await run('npm', build, { cwd: root }).catch(async error => {
    await folder[Symbol.asyncDispose]()
    throw new Error(`The build failed:\n${error.stdout}`)
  })
  await cp(join(root, 'package.json'), join(folder.path, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'))
  const { scripts } = manifest.parse(JSON.parse(await readFile(join(folder.path, 'package.json'), 'utf8')))
  const [, ...args] = scripts.start.split(' ')
  const resolved = args.map(arg => (arg.startsWith('dist/') ? join(folder.path, arg) : arg))

  return {
    /** Runs what `npm start` runs in a working folder: node itself, as a signal to npm does not reach it. */
    start: (cwd: string, env: Record<string, string> = {}) =>
      startProgram(process.execPath, resolved, { cwd, env }),
    [Symbol.asyncDispose]: folder[Symbol.asyncDispose],
  }
}
