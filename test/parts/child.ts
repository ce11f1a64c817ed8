import { type ChildProcess, fork, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Answer, Command, Told } from './database-child.js'

/** Root of the repository. */
export const root = fileURLToPath(new URL('../../', import.meta.url))

/** A process that does with a data folder what it is told, gone with the scope that made it. */
export async function startDatabaseChild() {
  const script = fileURLToPath(new URL('./database-child.ts', import.meta.url))
  const child = fork(script, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  await once(child, 'spawn')
  return {
    child,
    /** Resolves to what the command threw, or undefined. */
    async tell(command: Command, argument = ''): Promise<Answer['error']> {
      child.send({ command, argument } satisfies Told)
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

/** Runs a command to its end. */
export async function run(command: string, args: string[], options: Pick<SpawnOptions, 'env' | 'cwd'> = {}) {
  const child: ChildProcess = spawn(command, args, {
    cwd: root,
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, 'close'),
    child.stdout === null ? '' : text(child.stdout),
    child.stderr === null ? '' : text(child.stderr),
  ])
  return { code, signal, stdout, stderr }
}
