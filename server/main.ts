import { loadEnvFile, runCommand } from './command.js'
import { readConfig } from './config.js'
import { startServer } from './index.js'
import { welcomeText } from './welcome.js'

await runCommand(async () => {
  loadEnvFile()
  const config = readConfig()
  const server = await startServer(config)
  if (config.issuer.kind === 'in-process') console.log(welcomeText(server.url))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => server.close().finally(() => process.exit(0)))
  }
})
