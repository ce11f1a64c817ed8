import type { TestProject } from 'vitest/node'
import build from './build.setup.js'
import embedded from './embedded.setup.js'
import postgres from './postgres.setup.js'

/** What a run needs once. The parts take seconds each, so they are made at once. */
export default async function setup(project: TestProject) {
  const parts = await Promise.allSettled([build(), postgres(project), embedded(project)])
  const teardown = async () => {
    for (const part of parts) if (part.status === 'fulfilled') await part.value?.()
  }
  const failed = parts.find(part => part.status === 'rejected')
  if (failed === undefined) return teardown
  await teardown()
  throw failed.reason
}
