import { runCommand } from './commands/command.js'
import { start } from './commands/start.js'

/** `trpc-bearer start` as a file for `node`: unlike npx, it receives the signals of a process manager. */
await runCommand(start)
