import { execFile } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root, run } from './program.js'
import { temporaryFolder } from './temporary-folder.js'

const execute = promisify(execFile)

/** Packs the package, as npm would publish it. */
export async function packPackage() {
  const packed = await temporaryFolder()
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', packed.path]
  const { stdout } = await execute('npm', args, { cwd: root })
  const [{ filename = '' } = {}] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>)
  const tarball = join(packed.path, filename)
  return {
    /** An empty project, into which npm installs the package and others. */
    install: (packages: readonly string[], options?: readonly string[]) =>
      install(tarball, packages, options),
    [Symbol.asyncDispose]: packed[Symbol.asyncDispose],
  }
}

async function install(tarball: string, packages: readonly string[], options: readonly string[] = []) {
  const folder = await temporaryFolder()
  await writeFile(
    join(folder.path, 'package.json'),
    '{ "name": "project", "private": true, "type": "module" }',
  )
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', ...options, tarball, ...packages]
  const { code, stderr } = await run('npm', args, { cwd: folder.path })
  if (code !== 0) throw new Error(stderr)
  const modules = async () => (await readdir(join(folder.path, 'node_modules'))).sort()
  const evaluate = (program: string) =>
    run(process.execPath, ['--input-type=module', '-e', program], { cwd: folder.path })
  return { ...folder, modules, evaluate }
}
