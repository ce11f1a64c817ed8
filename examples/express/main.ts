import { createServer } from 'node:http'
import express from 'express'
import { migrateToLatest, openDatabase } from 'trpc-bearer/db'
import { createNodeHandler, createVerifier } from 'trpc-bearer/server'

/** An Express application with the API under `/trpc`, beside its own routes. */
export async function startExpress(options: {
  issuer: string
  dataDir?: string | undefined
  databaseUrl?: string | undefined
  port: number
}) {
  const { issuer, dataDir, databaseUrl: url, port } = options
  const verifier = createVerifier({ issuer, audience: issuer })
  const database = await openDatabase({ dataDir, url })
  await migrateToLatest(database.admin)

  const app = express()
  app.use('/trpc', createNodeHandler({ verifier, database }))
  app.use(express.json())
  app.get('/hello', (_req, res) => void res.json({ hello: 'from the host' }))

  const server = createServer(app)
  await new Promise<void>(listening => server.listen(port, '127.0.0.1', listening))
  const close = async () => {
    server.closeAllConnections()
    await new Promise(closed => server.close(closed))
    await database.close()
  }
  return { server, close }
}
