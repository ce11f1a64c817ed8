import { createHmac } from 'node:crypto'
import { LruMap } from '../../shared/lru-map.js'
import type { Frame } from '../wire/pipeline.js'
import { statementName } from './statement-cache.js'

/** Who a statement runs for, and as which role. */
export interface Caller {
  userId: string
  /** Other values that own rows, by the names of the option `owners`. Missing: the caller has none. */
  owners?: Readonly<Record<string, string>> | undefined
  /** Role without privileges of its own, as which the statement runs. */
  role: string
  /** Time limit of a statement, in milliseconds. */
  statementTimeout: number
}

/** The statement that sets the identity for the rest of a transaction, in two variants. */
export interface Identity {
  standard: Frame
  /** In front of a prepared statement. At the level `signed` PostgreSQL then keeps its plan. */
  forPrepared: Frame
}

/** Makes the identity of a caller. */
export type Identify = (caller: Caller) => Identity

/** Options of {@link createIdentify}. */
export interface IdentifyOptions {
  /** Signs the values of the caller (HMAC-SHA-256, RFC 2104) for a database that checks signatures. @default unsigned */
  secret?: string | undefined
  /** Names of the option `owners`. @default none */
  ownerNames?: readonly string[]
  /** Whether to keep the statement prepared on each connection. */
  prepare: () => boolean
  /** Schemas in which statements find tables. `pg_temp` is last: by default it is first, and a temporary table would hide a real one. */
  searchPath: () => string
}

// The role is set after the user id, so that it needs no right to set the id.
const settings = ['app.user_id', 'role', 'statement_timeout', 'search_path']
// `policies_first()` needs operators without cost. PostgreSQL then takes planning for free and would plan prepared statements each time.
const signedSettings = [...settings, 'app.user_signature', 'cpu_operator_cost', 'plan_cache_mode']
const maxSignatures = 10_000

/** Returns a function that makes the identity of a caller. Text and name of the statement are the same for every caller. */
export function createIdentify({ secret, ownerNames = [], prepare, searchPath }: IdentifyOptions): Identify {
  const signatures = new LruMap<string, string>({ maxEntries: maxSignatures })
  const sign = (message: string, key: string) => {
    const cached = signatures.get(message)
    if (cached !== undefined) return cached
    const signature = createHmac('sha256', key).update(message).digest('hex')
    signatures.set(message, signature)
    return signature
  }
  const names = [
    ...(secret === undefined ? settings : signedSettings),
    ...ownerNames.flatMap(name =>
      secret === undefined ? [ownerSetting(name)] : [ownerSetting(name), `${ownerSetting(name)}_signature`],
    ),
  ]
  // The role last, so that the answer shows that the server itself has set it.
  const text = `select ${names.map((name, index) => `pg_catalog.set_config('${name}', $${index + 1}, true)`).join(', ')}, current_user`
  const name = statementName(text)
  return ({ userId, owners = {}, role, statementTimeout }) => {
    const statement = { text, ...(prepare() && { name }), sets: { userId, role } }
    const values = [userId, role, String(statementTimeout), searchPath()]
    const owned = ownerNames.map(name => owners[name] ?? '')
    if (secret === undefined) {
      const standard = { ...statement, values: [...values, ...owned] }
      return { standard, forPrepared: standard }
    }
    values.push(sign(userMessage(userId), secret), '0')
    const signed = ownerNames.flatMap((name, index) => {
      const value = owned[index] ?? ''
      return [value, value === '' ? '' : sign(ownerMessage(name, userId, value), secret)]
    })
    return {
      standard: { ...statement, values: [...values, 'auto', ...signed] },
      forPrepared: { ...statement, values: [...values, 'force_generic_plan', ...signed] },
    }
  }
}

/**
 * The identity for a transaction of another client, as one statement that needs nothing else. The search path is that of the connection,
 * without `$user`, which would mean the application role, and with `pg_temp` last.
 */
export function identityStatementOf({ text, values = [] }: Frame): { text: string; values: unknown[] } {
  const path = `concat_ws(', ', nullif(array_to_string(array(
    select case schema when '"$user"' then quote_ident(session_user) else schema end
    from regexp_split_to_table(current_setting('search_path'), '\\s*,\\s*') schema
    where schema <> '' and schema !~* '^"?pg_temp'
  ), ', '), ''), 'pg_temp')`
  const number = settings.indexOf('search_path') + 1
  return {
    text: text
      .replace(`'search_path', $${number}`, `'search_path', ${path}`)
      .replaceAll(/\$(\d+)/g, (_, digits) => `$${Number(digits) > number ? Number(digits) - 1 : digits}`),
    values: values.filter((_, index) => index !== number - 1),
  }
}

const ownerSetting = (name: string) => `app.owner_${name}`

const hourMs = 3_600_000

// What is signed. The first line says what it is. A value counts only together with the user, and for an hour or two.
const userMessage = (userId: string) => `user\n${userId}`
const ownerMessage = (name: string, userId: string, value: string) =>
  `${name}\n${Math.floor(Date.now() / hourMs)}\n${Buffer.byteLength(userId)}\n${userId}\n${value}`
