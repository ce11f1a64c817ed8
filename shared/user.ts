import { z } from 'zod'
import { text } from './text.js'

/**
 * The caller, made from the claims of a verified token. Add what your tokens carry by declaration merging, and pass a
 * schema that yields it as the `user` option of `createVerifier`.
 *
 * @example
 * import type {} from 'trpc-bearer/shared'
 *
 * declare module 'trpc-bearer/shared' {
 *   interface User { role: 'admin' | 'member' }
 * }
 */
export interface User {
  /** The `sub` claim, exactly as the issuer wrote it: 1 to 255 characters. */
  id: string
  email?: string
  name?: string
  /**
   * What the token is good for (RFC 8693 section 4.2), with spaces between: what `requireScope` looks at. Not a list, and not `scp`: a
   * schema of yours makes it of those.
   */
  scope?: string
}

/** A user id: 1 to 255 characters, never trimmed or folded. */
export const userId = text().min(1).max(255)

const optionalText = z
  .string()
  .optional()
  .catch(() => undefined)

/** The default way from verified claims to {@link User}: `sub` is the id, `email`, `name` and `scope` come along when they are strings. */
export const userFromClaims = z
  .object({ sub: userId, email: optionalText, name: optionalText, scope: optionalText })
  .transform(({ sub, email, name, scope }): User => {
    return {
      id: sub,
      ...(email !== undefined && { email }),
      ...(name !== undefined && { name }),
      ...(scope !== undefined && { scope }),
    }
  })
