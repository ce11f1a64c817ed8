import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { reasons } from '../shared/index.js'
import { blocksOf, readPage, readPages } from './parts/docs.js'
import { root } from './parts/program.js'

const pages = await readPages()
const blocks = pages.flatMap(blocksOf)
const copies = blocks.flatMap(({ example, ...block }) =>
  example === undefined ? [] : [{ example, ...block }],
)

test('the README is short, and shows code on its first screen', async () => {
  const lines = (await readPage('README.md')).trimEnd().split('\n')
  expect(lines.length).toBeGreaterThanOrEqual(120)
  expect(lines.length).toBeLessThanOrEqual(180)
  expect(lines.indexOf('```ts')).toBeLessThan(20)
})

test.each(copies)('$page shows $example as it is', async ({ example, code }) => {
  expect(code).toBe(await readPage(example))
})

test('every example is on a page, except the program of npm run quickstart and whole projects', async () => {
  const files = (await readdir(join(root, 'examples'), { recursive: true })).filter(
    name => /\.tsx?$/.test(name) && !/^nextjs\/|^expo\/App/.test(name),
  )
  const shown = new Set([...copies.map(({ example }) => example), 'examples/quickstart/main.ts'])
  expect([...shown].sort()).toEqual(files.map(name => `examples/${name}`).sort())
})

test('docs/errors.md explains every reason, and no other', async () => {
  const [, table = ''] = (await readPage('docs/errors.md')).split(/\| reason +\| status +\|/)
  const [rows = ''] = table.split('\n\n')
  expect([...rows.matchAll(/^\| `(\w+)`/gm)].map(([, reason]) => reason)).toEqual(Object.keys(reasons))
})

test('docs/configuration.md explains every variable of .env.example', async () => {
  const variables = [...(await readPage('.env.example')).matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name)
  const [, table = ''] = (await readPage('docs/configuration.md')).split(/\| variable +\| default +\|/)
  for (const name of variables) expect(table).toContain(`\`${name}\``)
})

describe.each(pages)('$file', ({ file, text }) => {
  test('links to pages and headings that exist', async () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)]
    const broken: string[] = []
    for (const [link, path = '', heading] of links) {
      const target = path === '' ? file : join(dirname(file), path)
      const isThere = existsSync(join(root, target))
      if (!isThere || (heading !== undefined && !headingsOf(await readPage(target)).includes(heading)))
        broken.push(link)
    }
    expect(broken).toEqual([])
  })

  test('names scripts that exist', async () => {
    const { scripts } = JSON.parse(await readPage('package.json'))
    const named = [...text.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name = '']) => name)
    expect(named.filter(name => !Object.hasOwn(scripts, name))).toEqual([])
  })
})

/** The anchors that GitHub gives to the headings of a page. */
function headingsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
