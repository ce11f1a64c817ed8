import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { createVerifier } from '../../../server/verifier/index.js'
import { root } from '../../parts/program.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'

/** A change of the source that takes one of its rules away. */
export interface Weakness {
  /** Path from the root of the repository. */
  file: string
  from: string
  to: string
}

/**
 * A module with rules of the product taken away, to see that a suite would notice.
 *
 * @param entry its path from the root of the repository
 * @throws where a file does not have its rule in this form, once and only once
 */
export async function weakenedModule<T>(entry: string, weaknesses: readonly Weakness[]): Promise<T> {
  const sources = new Map<string, string>()
  for (const { file, from, to } of weaknesses) {
    const path = join(root, file)
    const source = sources.get(path) ?? (await readFile(path, 'utf8'))
    if (source.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`)
    sources.set(
      path,
      source.replace(from, () => to),
    )
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
  // Among the packages, which it imports: there vitest leaves it as it is.
  await using folder = await temporaryFolder(join(root, 'node_modules'))
  const bundle = join(folder.path, 'weakened.mjs')
  await writeFile(bundle, outputFiles[0]?.contents ?? '')
  const weakened: T = await import(pathToFileURL(bundle).href)
  return weakened
}

/** The verifier with a rule taken away. */
export async function weakened(weakness: Weakness): Promise<typeof createVerifier> {
  const entry = 'server/verifier/index.ts'
  const verifier = await weakenedModule<typeof import('../../../server/verifier/index.js')>(entry, [weakness])
  return verifier.createVerifier
}
