import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { createVerifier } from '../../server/verifier/index.js'
import { root } from '../parts/child.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

/** A change of the source that takes one of its rules away. */
export interface Weakness {
  /** Path from the root of the repository. */
  file: string
  from: string
  to: string
}

/**
 * The verifier with a rule taken away, to see that a suite would notice.
 *
 * @throws where the source does not have the rule in this form, once and only once
 */
export async function weakened({ file, from, to }: Weakness): Promise<typeof createVerifier> {
  const path = join(root, file)
  const source = await readFile(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`)
  const { outputFiles } = await build({
    entryPoints: [join(root, 'server/verifier/index.ts')],
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    write: false,
    plugins: [
      {
        name: 'weaken',
        setup: ({ onLoad }) =>
          onLoad({ filter: new RegExp(`/${basename(file)}$`) }, args =>
            args.path === path ? { contents: source.replace(from, () => to), loader: 'ts' } : null,
          ),
      },
    ],
  })
  // Among the packages, which it imports: there vitest leaves it as it is.
  await using folder = await temporaryFolder(join(root, 'node_modules'))
  const bundle = join(folder.path, 'verifier.mjs')
  await writeFile(bundle, outputFiles[0]?.contents ?? '')
  const verifier: typeof import('../../server/verifier/index.js') = await import(pathToFileURL(bundle).href)
  return verifier.createVerifier
}
