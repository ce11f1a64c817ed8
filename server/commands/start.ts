import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../app/config.js'
import { welcomeText } from '../app/page.js'
import { start as startServer } from '../app/start.js'

const shutdownTimeout = 10_000

/** `trpc-bearer start`: runs the server until SIGTERM or SIGINT. */
export async function start(): Promise<void> {
  const config = readConfig()
  const isTrial = config.issuer.kind === 'in-process'
  // The first start takes some seconds, in which nothing else is printed.
  if (isTrial) console.log('Starting …')
  const starting = startServer(config)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      const closed = starting.then(server => server.close()).catch(() => {})
      Promise.race([closed, sleep(shutdownTimeout)]).finally(() => process.exit(0))
    })
  }
  const { url } = await starting
  if (isTrial) console.log(welcomeText(url, { embedded: config.databaseUrl === undefined }))
}
