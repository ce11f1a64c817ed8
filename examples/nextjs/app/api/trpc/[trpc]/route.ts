import { openDatabase } from 'trpc-bearer/db'
import { createFetchHandler, createVerifier } from 'trpc-bearer/server'

const issuer = process.env.BETTER_AUTH_URL ?? 'http://localhost:3000'
const verifier = createVerifier({ issuer, audience: issuer })
const database = await openDatabase({ url: process.env.DATABASE_URL })

/** The same router inside of this process, if you need no API of its own. */
const handler = createFetchHandler({ verifier, database, basePath: '/api/trpc' })

export { handler as GET, handler as POST }
