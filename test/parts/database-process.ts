import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Answer, Command, Order } from './database-process-main.js'

/** Starts another process that runs commands on a data folder. It is killed at the end of the scope. */
export async function startDatabaseProcess() {
  const script = fileURLToPath(new URL('./database-process-main.js', import.meta.url))
  const child = fork(script, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  await once(child, 'spawn')
  return {
    child,
    /** Runs a command. Resolves to what it threw, or to undefined. */
    async run(command: Command, argument = ''): Promise<Answer['error']> {
      child.send({ command, argument } satisfies Order)
      const [answer]: Answer[] = await once(child, 'message')
      return answer?.error
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
