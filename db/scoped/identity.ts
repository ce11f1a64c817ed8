import { createHmac } from 'node:crypto'
import { LruMap } from '../../shared/lru-map.js'
import type { Preamble } from '../wire/pipeline.js'

/** Who a statement runs for, and as which role. */
export interface Caller {
  userId: string
  /** Role without privileges of its own, as which the statement runs. */
  role: string
  /** Time limit of a statement, in milliseconds. */
  statementTimeout: number
}

/** The statement that sets the identity for the rest of a transaction, in two variants. */
export interface Identity {
  standard: Preamble
  /** In front of a prepared statement. At the level `signed` PostgreSQL then keeps its plan. */
  forPrepared: Preamble
}

/** Makes the identity of a caller. */
export type Identify = (caller: Caller) => Identity

/** Options of {@link createIdentify}. */
export interface IdentifyOptions {
  /** Signs the user id (HMAC-SHA-256, RFC 2104) for a database that checks signatures. @default unsigned */
  secret?: string | undefined
  /** Keep the statement prepared on each connection. */
  prepare: boolean
  /** Schemas in which statements find tables. `pg_temp` is last: by default it is first, and a temporary table would hide a real one. */
  searchPath: () => string
}

// The role is set after the user id, so that it needs no right to set the id.
const settings = ['app.user_id', 'role', 'statement_timeout', 'search_path']
// `policies_first()` needs operators without cost. PostgreSQL then takes planning for free and would plan prepared statements each time.
const signedSettings = [...settings, 'app.user_signature', 'cpu_operator_cost', 'plan_cache_mode']
const maxSignatures = 10_000

/** Returns a function that makes the identity of a caller. Text and name of the statement are the same for every caller. */
export function createIdentify({ secret, prepare, searchPath }: IdentifyOptions): Identify {
  const signatures = new LruMap<string, string>({ maxEntries: maxSignatures })
  const sign = (id: string, key: string) => {
    const cached = signatures.get(id)
    if (cached !== undefined) return cached
    const signature = createHmac('sha256', key).update(id).digest('hex')
    signatures.set(id, signature)
    return signature
  }
  const names = secret === undefined ? settings : signedSettings
  const statement = {
    text: `select ${names.map((name, index) => `set_config('${name}', $${index + 1}, true)`).join(', ')}`,
    isEchoed: true,
    ...(prepare && { name: 'trpc_bearer_identity' }),
  }
  return ({ userId, role, statementTimeout }) => {
    const values = [userId, role, String(statementTimeout), searchPath()]
    if (secret === undefined) {
      const standard = { ...statement, values }
      return { standard, forPrepared: standard }
    }
    values.push(sign(userId, secret), '0')
    return {
      standard: { ...statement, values: [...values, 'auto'] },
      forPrepared: { ...statement, values: [...values, 'force_generic_plan'] },
    }
  }
}
