import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from './app/config.js'
import { welcomeText } from './app/page.js'
import { loadEnvFile, runCommand } from './commands/command.js'
import { startServer } from './index.js'

const shutdownTimeout = 10_000

/** `npm start`: runs the server until SIGTERM or SIGINT. */
await runCommand(async () => {
  loadEnvFile()
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
  if (isTrial) {
    console.log(welcomeText(url, { embedded: config.databaseUrl === undefined }))
  }
})
