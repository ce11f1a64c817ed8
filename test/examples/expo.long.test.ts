import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TRPCClient } from '@trpc/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AppRouter } from '../../server/index.js'
import type { Task } from '../../shared/index.js'
import { startApp } from '../parts/app.js'
import { runOnPhone } from '../parts/hermes.js'
import { packPackage } from '../parts/installed-project.js'
import { root, run } from '../parts/program.js'

const folder = join(root, 'examples/expo')

describe('examples/expo', () => {
  let packed: Awaited<ReturnType<typeof packPackage>>
  let project: Awaited<ReturnType<typeof packed.install>>
  beforeAll(async () => {
    packed = await packPackage()
    const { dependencies, devDependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    const { 'trpc-bearer': _, ...needed } = { ...dependencies, ...devDependencies }
    const packages = Object.entries(needed).map(entry => entry.join('@'))
    project = await packed.install(packages, ['--ignore-scripts'])
    for (const name of ['api.ts', 'App.tsx', 'tsconfig.json'])
      await copyFile(join(folder, name), join(project.path, name))
  })
  afterAll(async () => {
    await project[Symbol.asyncDispose]()
    await packed[Symbol.asyncDispose]()
  })

  test('compiles', async () => {
    const tsc = join(project.path, 'node_modules/typescript/bin/tsc')
    expect(await run(process.execPath, [tsc], { cwd: project.path })).toMatchObject({ code: 0, stdout: '' })
  })

  test('signs people in and calls as them, with what a phone has', async () => {
    await using app = await startApp()
    const source = await readFile(join(folder, 'api.ts'), 'utf8')
    const calls = `${source.replace('http://localhost:4000', app.url)}
      import { createClient } from 'trpc-bearer/client'
      const api = createClient(apiOptions)
      // Made here, because the classes of the phone are not those of Node.
      const addTask = title => api.tasks.create.mutate({ title, dueAt: new Date('2030-01-01') })
      Object.assign(globalThis, { authClient, api, addTask })`
    const phone = await runOnPhone(calls, project.path)
    const { authClient, api, addTask } = phone as unknown as Phone
    const signUp = (name: string) =>
      authClient.signUp.email({ name, email: `${name}@example.com`, password: `password of ${name}` })

    expect(await api.me.query().catch(error => error.data?.reason)).toBe('missing')
    expect(await signUp('ann')).toMatchObject({ error: null })
    expect(await api.me.query()).toMatchObject({ email: 'ann@example.com' })
    const task = await addTask('Buy milk')
    expect(task.dueAt?.toISOString()).toBe('2030-01-01T00:00:00.000Z')

    await authClient.signOut()
    expect(await api.me.query().catch(error => error.data?.reason)).toBe('missing')
    expect(await signUp('bob')).toMatchObject({ error: null })
    expect(await api.me.query()).toMatchObject({ email: 'bob@example.com' })
    expect((await api.tasks.list.query()).items).toEqual([])
  })
})

/** What the module gives the test. */
interface Phone {
  api: TRPCClient<AppRouter>
  addTask(title: string): Promise<Task>
  authClient: {
    signUp: { email(user: Record<'name' | 'email' | 'password', string>): Promise<unknown> }
    signOut(): Promise<unknown>
  }
}
