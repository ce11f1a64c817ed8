import { bearerToken, checkScope, TokenError, type User, type Verifier } from 'trpc-bearer/verifier'

type Respond = (request: Request, user: User) => Response | Promise<Response>

/**
 * For Fetch handlers (Cloudflare Workers, Deno, Bun, Hono, Next.js) without tRPC: `respond` receives a caller with this scope.
 * Others are refused here, and `respond` may call `checkScope` too.
 */
export function guarded(verifier: Verifier, respond: Respond, scope?: string) {
  return async (request: Request): Promise<Response> => {
    try {
      const user = await verifier.verify(bearerToken(request))
      if (scope !== undefined) checkScope(user, scope)
      return await respond(request, user)
    } catch (error) {
      if (!(error instanceof TokenError)) throw error
      const { status, headers, reason, message } = error
      return Response.json({ reason, message }, { status, headers })
    }
  }
}
