import { causesOf } from '../shared/error-handling.js'
import { isIdentityRejected } from './errors.js'

const untrusted =
  'The certificate of the server of DATABASE_URL is not trusted: add ?sslrootcert=<file> with its authority.'

const problems: Record<string, string> = {
  ECONNREFUSED: 'No server answers at DATABASE_URL: check its host and port, and that PostgreSQL runs there.',
  ECONNRESET: 'The server of DATABASE_URL closed the connection: check its log.',
  ENOTFOUND: 'The host of DATABASE_URL does not exist: check its name.',
  EAI_AGAIN: 'The host of DATABASE_URL cannot be resolved at the moment: check its name and the DNS.',
  ENOENT: 'No server answers at the socket of DATABASE_URL: check its path, and that PostgreSQL runs.',
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID:
    'The certificate of the server of DATABASE_URL is for another host: check the host name.',
  '28P01': 'PostgreSQL refuses the login of DATABASE_URL: check its name and password.',
  '28000':
    'PostgreSQL refuses the login of DATABASE_URL: check that it exists, and that pg_hba.conf allows it (TLS too).',
  '3D000': 'The database of DATABASE_URL does not exist: create it first.',
  '57P03': 'PostgreSQL is starting or stopping: wait.',
  '25006':
    'The server of DATABASE_URL is read-only, such as a standby: use the primary, or wait for the failover.',
  '53300': 'PostgreSQL has no free connection: lower DATABASE_POOL_MAX.',
  '42704': 'The role of DATABASE_ROLE does not exist: run npx trpc-bearer migrate.',
  '42501':
    'The login of DATABASE_URL lacks a right, such as membership in DATABASE_ROLE: the log says which.',
  '22023': 'The login of DATABASE_URL is not a member of DATABASE_ROLE: run npx trpc-bearer migrate.',
}

/**
 * One line for a known database error: what is wrong and what to check, without hosts, logins or rows. Undefined for others.
 *
 * @param url how the reader calls the URL, such as the variable that holds it. @default 'DATABASE_URL'
 */
export function databaseProblem(error: unknown, url = 'DATABASE_URL'): string | undefined {
  return problemOf(error)?.replace('DATABASE_URL', url)
}

function problemOf(error: unknown): string | undefined {
  for (const cause of causesOf(error)) {
    if (isIdentityRejected(cause))
      return 'FENCE_SECRET is missing or differs from that of the migration: set the same.'
    const inner = cause instanceof AggregateError ? cause.errors[0] : cause
    if (inner.code === 'ENOENT' && inner.syscall === 'open')
      return 'A file named in DATABASE_URL does not exist: check sslrootcert, sslcert and sslkey.'
    const known = 'code' in inner ? problems[String(inner.code)] : undefined
    if (known !== undefined) return known
    if (cause.message.startsWith('Connection terminated')) return problems.ECONNRESET
    if (cause.message.startsWith('timeout exceeded'))
      return 'The server of DATABASE_URL did not answer in time: check its host and port.'
    if (cause.message.startsWith('The server does not support SSL'))
      return 'The server of DATABASE_URL has no TLS: enable it there, or remove sslmode from the URL.'
  }
  return undefined
}
