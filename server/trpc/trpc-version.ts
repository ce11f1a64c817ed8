/**
 * Returns what a namespace import of tRPC has. A named import that is missing would fail before any message.
 *
 * @throws Error if it is missing, because the installed version is too old
 */
export function requireTrpc<T>(value: T | undefined): T {
  if (value !== undefined) return value
  throw new Error('trpc-bearer needs @trpc/server 11.22.1 or later: npm install @trpc/server@^11.22.1')
}
