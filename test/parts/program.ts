import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** Root of the repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/** The server as `npm run build` leaves it: what `npm start` runs. */
export const builtServer = fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))

interface ProgramOptions {
  /** The whole environment except PATH, so that the machine's own variables cannot change a test. */
  env?: Record<string, string>
  cwd?: string
}

/** Starts a program. It is killed at the end of the scope. */
export function startProgram(
  command: string,
  args: readonly string[],
  { env = {}, cwd = root }: ProgramOptions = {},
) {
  const child = spawn(command, args, { cwd, env: { PATH: process.env.PATH, ...env } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', chunk => {
    stdout += chunk
  })
  child.stderr.setEncoding('utf8').on('data', chunk => {
    stderr += chunk
  })
  const ended = once(child, 'close').then(([code]) => ({ code, stdout, stderr }))
  const stop = (signal: NodeJS.Signals = 'SIGKILL') => {
    child.kill(signal)
    return ended
  }
  return {
    /** Resolves at the end with the code and all output. The code is null after a signal. */
    ended,
    /** Waits until standard output matches, and returns the match. */
    async waitForOutput(pattern: RegExp): Promise<RegExpExecArray> {
      const over = ended.then(() => true)
      for (let isOver = false; ; ) {
        const match = pattern.exec(stdout)
        if (match !== null) return match
        if (isOver) throw new Error(`It ended without saying ${pattern}:\n${stdout}${stderr}`)
        isOver = await Promise.race([over, once(child.stdout, 'data').then(() => false)])
      }
    },
    /** Sends a signal and waits for the end. */
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
    },
  }
}

/** Starts a TypeScript file of this repository. */
export function startTypeScript(file: string, env: Record<string, string>) {
  return startProgram(process.execPath, ['--import', 'tsx', file], { env })
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
