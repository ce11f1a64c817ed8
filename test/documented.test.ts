import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readPage, readPages } from './parts/docs.js'
import { root } from './parts/program.js'

const names = (await readdir(join(root, 'test'), { recursive: true })).filter(name => name.endsWith('.ts'))

test('the tests that docs/security.md names exist, with these names', async () => {
  const sources = await Promise.all(names.map(name => readFile(join(root, 'test', name), 'utf8')))
  const suites = sources.filter((_, index) => names[index]?.startsWith('security/')).join('\n')
  const document = await readPage('docs/security.md')
  // The cases of a suite under security/ are in files beside it.
  const sourceOf = (file: string) =>
    file.startsWith('security/') && names.includes(file) ? suites : (sources[names.indexOf(file)] ?? '')
  const named = [...document.matchAll(/\| `([\w/-]+\.test\.ts)`: (.+?) *\|$/gm)]
  expect(named.length).toBeGreaterThan(50)
  const missing = named.filter(([, file = '', name = '']) => !sourceOf(file).includes(name))
  expect(missing.map(([line]) => line)).toEqual([])
})

test('the test files that docs/isolation.md names exist', async () => {
  const document = await readPage('docs/isolation.md')
  const named = [...document.matchAll(/`([\w/-]+\.test\.ts)`/g)].map(([, file = '']) => file)
  expect(named.length).toBeGreaterThan(15)
  expect(named.filter(file => !names.includes(file))).toEqual([])
})

test('every attack of docs/isolation.md has a test', async () => {
  const [, section = ''] = (await readPage('docs/isolation.md')).split('## Attacks and tests')
  const attacks = section.split(/^(?=\*\*)/m).slice(1)
  expect(attacks.length).toBeGreaterThan(10)
  for (const attack of attacks) expect(attack).toMatch(/^- Test: `/m)
})

test('the files that a page names exist, at the root or under test/', async () => {
  const missing = (await readPages()).flatMap(({ file, text }) =>
    [...text.matchAll(/`((?:bench|client|db|docs|examples|server|shared|test)\/[\w./-]+\.(?:md|ts))`/g)]
      .map(([, path = '']) => path)
      .filter(path => !existsSync(join(root, path)) && !existsSync(join(root, 'test', path)))
      .map(path => `${file}: ${path}`),
  )
  expect(missing).toEqual([])
})
