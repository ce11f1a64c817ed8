import type { RequestHandler } from 'express'
import { bearerToken, checkScope, TokenError, type Verifier } from 'trpc-bearer/verifier'

/** For Express without tRPC: `res.locals.user` is a caller with this scope. Others are refused here. */
export function guard(verifier: Verifier, scope?: string): RequestHandler {
  return async (req, res, next) => {
    try {
      const user = await verifier.verify(bearerToken(req))
      if (scope !== undefined) checkScope(user, scope)
      res.locals.user = user
    } catch (error) {
      if (!(error instanceof TokenError)) return next(error)
      res.status(error.status).set(error.headers).json({ reason: error.reason, message: error.message })
      return
    }
    next()
  }
}
