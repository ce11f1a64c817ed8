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

// Identity first, then the role: after the role is set no more is needed than it may do.
const settings = ['app.user_id', 'role', 'statement_timeout', 'search_path']
const maxSignatures = 10_000

/** Makes the statement that sets an identity for the rest of a transaction. */
export type Identify = (scope: Scope) => Preamble

/** Options of {@link createIdentify}. */
export interface IdentifyOptions {
  /** Signs the id (HMAC-SHA-256, RFC 2104), where the database checks that. */
  secret?: string | undefined
  /** Keeps the statement prepared on each connection. */
  prepare: boolean
  /** Schemas that statements find tables in, with `pg_temp` last: first, as it is by default, a temporary table would hide ours. */
  searchPath: () => string
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
  const names = secret === undefined ? settings : [...settings, 'app.user_signature']
  const statement = {
    text: `select ${names.map((name, n) => `set_config('${name}', $${n + 1}, true)`).join(', ')}`,
    ...(prepare && { name: 'trpc_bearer_identity' }),
  }
  return ({ userId, role, statementTimeout }) => {
    const values = [userId, role, String(statementTimeout), searchPath()]
    if (secret !== undefined) values.push(sign(userId, secret))
    return { ...statement, values }
  }
}
