import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { createVerifier } from '../../../server/verifier/index.js'
import { root } from '../../parts/program.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'

/** A change of the source that removes one of its rules. */
export interface Mutant {
  /** Path from the root of the repository. */
  file: string
  from: string
  to: string
}

export const mutant = (file: string, from: string, to = ''): Mutant => ({ file, from, to })

/** The source of a mutant: the file must contain the text exactly once. */
export function mutate(source: string, { file, from, to }: Mutant): string {
  if (source.split(from).length !== 2) throw new Error(`${file} does not contain exactly once: ${from}`)
  return source.replace(from, () => to)
}

/**
 * Imports a module from changed source, to prove that a suite would notice.
 *
 * @param entry path of the module from the root of the repository
 */
export async function weakenedModule<T>(entry: string, mutants: readonly Mutant[]): Promise<T> {
  const sources = new Map<string, string>()
  for (const mutant of mutants) {
    const path = join(root, mutant.file)
    sources.set(path, mutate(sources.get(path) ?? (await readFile(path, 'utf8')), mutant))
  }
  const { outputFiles } = await build({
    entryPoints: [join(root, entry)],
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    write: false,
    plugins: [
      {
        name: 'weaken',
        setup: ({ onLoad }) =>
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const contents = sources.get(path)
            return contents === undefined ? null : { contents, loader: 'ts' }
          }),
      },
    ],
  })
  // Inside node_modules, so that its imports resolve and vitest does not transform it.
  await using folder = await temporaryFolder(join(root, 'node_modules'))
  const bundle = join(folder.path, 'weakened.mjs')
  await writeFile(bundle, outputFiles[0]?.contents ?? '')
  const weakened: T = await import(pathToFileURL(bundle).href)
  return weakened
}

/** `createVerifier` without one of its rules. */
export async function weakened(mutant: Mutant): Promise<typeof createVerifier> {
  const entry = 'server/verifier/index.ts'
  const verifier = await weakenedModule<typeof import('../../../server/verifier/index.js')>(entry, [mutant])
  return verifier.createVerifier
}

/** A rule that is removed, the case that notices, and the outcome of that case then. */
export type TokenMutant = [rule: string, mutant: Mutant, name: string, outcome: string]
