import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { reasons } from '../shared/index.js'

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8')
const readme = await read('README.md')

describe('the README', () => {
  const shown = [...readme.matchAll(/<!-- (examples\/\S+) -->\n```ts\n([\s\S]*?)```/g)]

  test('shows the examples that the tests run', () => {
    expect(shown.map(([, file]) => file)).toEqual([
      'examples/frontend/api.ts',
      'examples/express/main.ts',
      'examples/notes/router.ts',
      'examples/verifier/express.ts',
      'examples/verifier/fetch.ts',
      'examples/concurrent-index/main.ts',
    ])
  })

  test.each(shown.map(([, file = '', code = '']) => ({ file, code })))(
    'shows $file as it is',
    async ({ file, code }) => {
      expect(code).toBe(await read(file))
    },
  )

  test('explains every reason, and no other', () => {
    const [, table = ''] = readme.split(/\| reason +\| status +\|/)
    const [rows = ''] = table.split('\n\n')
    expect([...rows.matchAll(/^\| `(\w+)`/gm)].map(([, reason]) => reason)).toEqual(Object.keys(reasons))
  })

  test('lists every variable of .env.example', async () => {
    const variables = [...(await read('.env.example')).matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name)
    const [, table = ''] = readme.split(/\| variable +\| default +\|/)
    for (const name of variables) expect(table).toContain(`\`${name}\``)
  })
})
