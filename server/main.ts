import { setTimeout as sleep } from 'node:timers/promises'
import { loadEnvFile, runCommand } from './command.js'
import { readConfig } from './config.js'
import { startServer } from './index.js'
import { welcomeText } from './welcome.js'

await runCommand(async () => {
  loadEnvFile()
  const config = readConfig()
  const starting = startServer(config)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      const closed = starting.then(server => server.close()).catch(() => {})
      // A start that hangs is not waited for.
      Promise.race([closed, sleep(10_000)]).finally(() => process.exit(0))
    })
  }
  const { url } = await starting
  if (config.issuer.kind === 'in-process') {
    console.log(welcomeText(url, { embedded: config.databaseUrl === undefined }))
  }
})
