import { z } from 'zod'
import { text } from './text.js'

/**
 * The caller, created from the claims of a verified token. Add your own claims by declaration merging, and pass a schema
 * that returns them as the `user` option of `createVerifier`.
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
   * Scopes separated by spaces (RFC 8693 section 4.2); `requireScope` reads them. If your tokens have a list or `scp`, convert it
   * in the `user` option.
   */
  scope?: string
}

/** A user id: 1 to 255 characters, never trimmed or folded. */
export const userId = text({ max: 255, nonEmpty: true })

const optionalText = z
  .string()
  .optional()
  .catch(() => undefined)

/** The default `user` option: `sub` is the id; `email`, `name` and `scope` are copied if they are strings. */
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
