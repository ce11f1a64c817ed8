import { execFile } from 'node:child_process'
import { cp, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { root, startProgram } from './running.js'
import { temporaryFolder } from './temporary-folder.js'

const run = promisify(execFile)
const script = z.string().startsWith('node ')
const manifest = z.object({ scripts: z.object({ start: script, migrate: script, fence: script }) })

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
  const runner = (script: string) => {
    const [, ...args] = script.split(' ')
    const resolved = args.map(arg => (arg.startsWith('dist/') ? join(folder.path, arg) : arg))
    return (cwd: string, env: Record<string, string> = {}) =>
      startProgram(process.execPath, resolved, { cwd, env })
  }

  return {
    path: folder.path,
    /** Runs what `npm start` runs in a working folder: node itself, as a signal to npm does not reach it. */
    start: runner(scripts.start),
    /** Runs what `npm run migrate` runs in a working folder. */
    migrate: runner(scripts.migrate),
    /** Runs what `npm run fence` runs in a working folder. */
    fence: runner(scripts.fence),
    [Symbol.asyncDispose]: folder[Symbol.asyncDispose],
  }
}
