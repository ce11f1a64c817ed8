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
const identifySigned = `${identify}, set_config('app.user_signature', $4, true)`
const maxSignatures = 10_000

/** Makes the statement that sets an identity for the rest of a transaction. */
export type Identify = (scope: Scope) => Preamble

/**
 * @param options.secret signs the id (HMAC-SHA-256, RFC 2104), where the database checks that
 * @param options.prepare keeps the statement prepared on each connection
 */
export function createIdentify({ secret, prepare }: { secret?: string; prepare: boolean }): Identify {
  const name = prepare ? { name: 'trpc_bearer_identity' } : {}
  const signatures = new LRUCache<string, string>({ max: maxSignatures })
  const sign = (id: string, key: string) => {
    const known = signatures.get(id)
    if (known !== undefined) return known
    const signature = createHmac('sha256', key).update(id).digest('hex')
    signatures.set(id, signature)
    return signature
  }
  return ({ userId, role, statementTimeout }) => {
    const values = [userId, role, String(statementTimeout)]
    if (secret === undefined) return { text: identify, values, ...name }
    return { text: identifySigned, values: [...values, sign(userId, secret)], ...name }
  }
}
