import { createHmac } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Preamble } from './pipelined-query.js'

/** Who statements run for. */
export interface Scope {
  userId: string
  /** Unprivileged role that they run as. */
  role: string
  /** Longest time a statement may take, in milliseconds. */
  statementTimeout: number
}

// Identity first, then the role, then the time limit: after the role is set no more is needed than it may do.
const identify = `select set_config('app.user_id', $1, true), set_config('role', $2, true), set_config('statement_timeout', $3, true)`
const maxSignatures = 10_000

/** Makes the statement that sets an identity for the rest of a transaction. */
export type Identify = (scope: Scope) => Preamble

/** Options of {@link createIdentify}. */
export interface IdentifyOptions {
  /** Signs the id (HMAC-SHA-256, RFC 2104), where the database checks that. */
  secret?: string | undefined
  /** Keeps the statement prepared on each connection. */
  prepare: boolean
  /** The search path of the login, where it names the login's own schema: the role would look into another. */
  searchPath: () => string | undefined
}

export function createIdentify({ secret, prepare, searchPath }: IdentifyOptions): Identify {
  const signatures = new LRUCache<string, string>({ max: maxSignatures })
  const sign = (id: string, key: string) => {
    const known = signatures.get(id)
    if (known !== undefined) return known
    const signature = createHmac('sha256', key).update(id).digest('hex')
    signatures.set(id, signature)
    return signature
  }
  // Made once: text and name are the same for every caller.
  const shape = (settings: string[]) => ({
    text: settings.reduce(
      (text, setting, n) => `${text}, set_config('${setting}', $${n + 4}, true)`,
      identify,
    ),
    ...(prepare && { name: ['trpc_bearer_identity', ...settings].join('_') }),
  })
  const signature = secret === undefined ? [] : ['app.user_signature']
  const usual = shape(signature)
  const withPath = shape([...signature, 'search_path'])
  return ({ userId, role, statementTimeout }) => {
    const values = [userId, role, String(statementTimeout)]
    if (secret !== undefined) values.push(sign(userId, secret))
    const path = searchPath()
    if (path === undefined) return { ...usual, values }
    values.push(path)
    return { ...withPath, values }
  }
}
