import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './program.js'

/** A page of the documentation. */
export interface Page {
  /** Its path from the root of the repository. */
  file: string
  text: string
}

/** A block of TypeScript on a page. */
export interface Block {
  page: string
  /** `ts` or `tsx`. */
  language: string
  code: string
  /** The file that the block is a copy of, if it is marked with one. */
  example: string | undefined
}

export const readPage = (file: string) => readFile(join(root, file), 'utf8')

/** Every page that people read. */
export async function readPages(): Promise<Page[]> {
  const docs = (await readdir(join(root, 'docs'))).filter(name => name.endsWith('.md')).sort()
  const files = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'bench/README.md',
    ...docs.map(name => `docs/${name}`),
  ]
  return Promise.all(files.map(async file => ({ file, text: await readPage(file) })))
}

export function blocksOf({ file, text }: Page): Block[] {
  const blocks = text.matchAll(/(?:<!-- (examples\/\S+) -->\n)?```(tsx?)\n([\s\S]*?)```/g)
  return [...blocks].map(([, example, language = '', code = '']) => ({ page: file, language, code, example }))
}
