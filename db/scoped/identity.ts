import { createHmac } from 'node:crypto'
import { LruMap } from '../../shared/lru-map.js'
import type { Preamble } from '../wire/pipeline.js'

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
// See `policies_first()`. With operators that cost nothing PostgreSQL takes planning for free, and plans known statements anew each time.
const signedSettings = [...settings, 'app.user_signature', 'cpu_operator_cost', 'plan_cache_mode']
const maxSignatures = 10_000

/** The statements that set an identity for the rest of a transaction. */
export interface Identity {
  /** Before a statement that is kept prepared: its plan is kept too. */
  repeated: Preamble
  /** Before any other statement, and for a transaction. */
  usual: Preamble
}

/** Makes the statements that set an identity. */
export type Identify = (scope: Scope) => Identity

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
  const signatures = new LruMap<string, string>({ maxEntries: maxSignatures })
  const sign = (id: string, key: string) => {
    const known = signatures.get(id)
    if (known !== undefined) return known
    const signature = createHmac('sha256', key).update(id).digest('hex')
    signatures.set(id, signature)
    return signature
  }
  // Made once: text and name are the same for every caller.
  const names = secret === undefined ? settings : signedSettings
  const statement = {
    text: `select ${names.map((name, n) => `set_config('${name}', $${n + 1}, true)`).join(', ')}`,
    isEchoed: true,
    ...(prepare && { name: 'trpc_bearer_identity' }),
  }
  return ({ userId, role, statementTimeout }) => {
    const values = [userId, role, String(statementTimeout), searchPath()]
    if (secret === undefined) {
      const usual = { ...statement, values }
      return { repeated: usual, usual }
    }
    values.push(sign(userId, secret), '0')
    return {
      repeated: { ...statement, values: [...values, 'force_generic_plan'] },
      usual: { ...statement, values: [...values, 'auto'] },
    }
  }
}
