import { type DataDir, openDataDir } from '../../db/embedded/data-dir.js'
import type { OpenDatabase } from '../../db/index.js'

/** The process that `startDatabaseProcess` starts. */
let held: DataDir | undefined
let open: OpenDatabase | undefined

// Only when needed: a process that just takes the lock starts much faster.
const loadDatabase = () => import('../../db/index.js')

const commands = {
  /** Takes the lock of a folder. */
  async claim(folder: string) {
    held = await openDataDir(folder)
  },
  async release() {
    await held?.release()
    held = undefined
  },
  async open(dataDir: string) {
    open = await (await loadDatabase()).openDatabase({ dataDir })
  },
  async join(dataDir: string) {
    open = await (await loadDatabase()).openDatabase({ dataDir, join: true })
  },
  async close() {
    await open?.close()
    open = undefined
  },
  /** Writes a task of alice. */
  async write(title: string) {
    const task = { id: crypto.randomUUID(), title }
    await open?.forUser('alice').insertInto('tasks').values(task).execute()
  },
}

export type Command = keyof typeof commands
export interface Order {
  command: Command
  argument: string
}
export interface Answer {
  /** Name and message of what was thrown. */
  error?: { name: string; message: string }
}

const answer = (message: Answer) => process.send?.(message)

process.on('message', ({ command, argument }: Order) => {
  commands[command](argument).then(
    () => answer({}),
    ({ name, message }: Error) => answer({ error: { name, message } }),
  )
})
