import { copyFile, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packPackage } from '../parts/installed-project.js'
import { root, run } from '../parts/program.js'

let packed: Awaited<ReturnType<typeof packPackage>>
beforeAll(async () => {
  packed = await packPackage()
})
afterAll(() => packed[Symbol.asyncDispose]())

const api = ['@trpc/server', '@trpc/client', 'kysely', 'pg', '@types/pg', '@types/node@20', 'zod']
// It asks for another version of tRPC than the newest.
const react = ['@trpc/tanstack-react-query', '@tanstack/react-query', 'react', '@types/react']
const entries = (await readdir(join(root, 'test/installed/exported'))).sort()

describe('the inferred type of everything exported', () => {
  let project: Awaited<ReturnType<typeof packed.install>>
  beforeAll(async () => {
    const compilers = ['ts5@npm:typescript@~5.9.3', 'ts7@npm:typescript@^7.0.0']
    project = await packed.install([...api, ...react, ...compilers], ['--legacy-peer-deps'])
    for (const entry of entries)
      await copyFile(join(root, 'test/installed/exported', entry), join(project.path, entry))
    await copyFile(join(root, 'test/installed/declare-all.mjs'), join(project.path, 'declare-all.mjs'))
  })
  afterAll(() => project[Symbol.asyncDispose]())

  const resolutions = [
    ['nodenext', ['--module', 'nodenext']],
    ['bundler', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  ] as const
  const cases = resolutions.flatMap(([name, module]) =>
    ['true', 'false'].map(skipLibCheck => [name, skipLibCheck, module] as const),
  )
  const declared = (entry: string) =>
    readFile(join(project.path, 'out', entry.replace('.ts', '.d.ts')), 'utf8')

  // Once each file alone: another one could import what it lacks.
  test.each(cases)(
    'can be declared by TypeScript 7 with %s and skipLibCheck %s',
    async (name, skip, module) => {
      const tsc = join(project.path, 'node_modules/ts7/bin/tsc')
      const options = [
        '--strict',
        '--target',
        'es2023',
        '--types',
        'node',
        '--declaration',
        '--outDir',
        'out',
      ]
      for (const files of name === 'nodenext' && skip === 'true'
        ? entries.map(entry => [entry])
        : [entries]) {
        const args = [tsc, ...files, ...options, '--skipLibCheck', skip, ...module]
        expect(await run(process.execPath, args, { cwd: project.path })).toMatchObject({
          code: 0,
          stdout: '',
        })
      }
      for (const entry of entries) expect(await declared(entry)).not.toMatch(/: any\b|<any>/)
    },
  )

  test('can be declared by TypeScript 5.9 in each of these ways', async () => {
    const args = ['declare-all.mjs', ...entries]
    expect(await run(process.execPath, args, { cwd: project.path })).toMatchObject({ code: 0, stdout: '' })
    for (const entry of entries) expect(await declared(entry)).not.toMatch(/: any\b|<any>/)
  })
})
