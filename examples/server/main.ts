import { createServer } from 'node:http'
import { migrateTasks, migrateToLatest, openDatabase } from 'trpc-bearer/db'
import { createNodeHandler, createVerifier } from 'trpc-bearer/server'

const issuer = process.env.BETTER_AUTH_URL ?? 'http://localhost:4000'
const verifier = createVerifier({ issuer, audience: issuer })
const database = await openDatabase({ url: process.env.DATABASE_URL })
await migrateToLatest(database.admin)
await migrateTasks(database.admin)
export const server = createServer(createNodeHandler({ verifier, database }))
server.listen(Number(process.env.PORT ?? 3000), () => console.log('The API answers at /trpc.'))
