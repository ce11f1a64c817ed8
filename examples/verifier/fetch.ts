import { bearerToken, TokenError, type User, type Verifier } from 'trpc-bearer/verifier'

/** What speaks Fetch (Cloudflare Workers, Deno, Bun, Hono, Next.js), without tRPC: `respond` hears the caller, anybody else is answered here. */
export function guarded(verifier: Verifier, respond: (request: Request, user: User) => Response) {
  return async (request: Request): Promise<Response> => {
    try {
      return respond(request, await verifier.verify(bearerToken(request)))
    } catch (error) {
      if (!(error instanceof TokenError)) throw error
      const { status, headers, reason, message } = error
      return Response.json({ reason, message }, { status, headers })
    }
  }
}
