import { bearerToken, checkScope, TokenError, type User, type Verifier } from 'trpc-bearer/verifier'

type Respond = (request: Request, user: User) => Response | Promise<Response>

/**
 * Calls `respond` with the caller. Answers 401, 403 or 503 if there is no valid token or the scope is missing,
 * also when `respond` itself calls `checkScope`.
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
