import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { readConfig, startServer } from '../../server/index.js'
import { fastFolder } from './temporary-folder.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** A data folder after its first start, which takes seconds. Tests copy it. */
    dataDirTemplate: string
  }
}

export default async function setup(project: TestProject) {
  const folder = await mkdtemp(join(await fastFolder(), 'trpc-bearer-template-'))
  const server = await startServer(readConfig({ PORT: '0', DATA_DIR: folder, LOG_LEVEL: 'silent' }))
  await server.close()
  project.provide('dataDirTemplate', folder)
  return () => rm(folder, { recursive: true, force: true })
}
