import { openDatabase } from 'trpc-bearer/db'
import { createNodeHandler, createVerifier } from 'trpc-bearer/server'
import { z } from 'zod'
import { projectsRouter } from './projects.js'

declare module 'trpc-bearer/shared' {
  interface User {
    orgId?: string | undefined
    orgRoles?: string[] | undefined
  }
}

const user = z
  .object({
    sub: z.string(),
    name: z.string(),
    orgId: z.string().min(1).optional(),
    orgRoles: z.array(z.string()).optional(),
  })
  .transform(({ sub, ...claims }) => ({ id: sub, ...claims }))

/** The API for the tokens of `createAuth`: `org` is the organisation that the caller's token names. */
export async function createApi({ issuer, url }: { issuer: string; url: string }) {
  const verifier = createVerifier({ issuer, audience: issuer, user })
  const database = await openDatabase({ url, owners: { org: ({ orgId }) => orgId } })
  return { database, handler: createNodeHandler({ verifier, database, router: projectsRouter }) }
}
