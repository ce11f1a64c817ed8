import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder that is deleted at the end of the scope. */
export async function temporaryFolder(parent = tmpdir()) {
  const path = await mkdtemp(join(parent, 'trpc-bearer-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

const memory = '/dev/shm'

/** Where databases of tests lie: in memory if 4 GB are free there, as Linux offers it, else in the temporary folder. */
export async function fastFolder(): Promise<string> {
  const status = await statfs(memory).catch(() => null)
  return status !== null && status.bavail * status.bsize >= 4 * 2 ** 30 ? memory : tmpdir()
}
