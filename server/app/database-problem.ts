import { isNotBelieved } from '../../db/errors.js'
import { causesOf } from '../../shared/error-handling.js'

const untrusted =
  'The certificate of the server of DATABASE_URL is not trusted: name its authority by ?sslrootcert=file.'

const problems: Record<string, string> = {
  ECONNREFUSED: 'No server answers at DATABASE_URL: does PostgreSQL run there?',
  ECONNRESET: 'The server of DATABASE_URL has ended the connection.',
  ENOTFOUND: 'The host of DATABASE_URL is not known.',
  EAI_AGAIN: 'The host of DATABASE_URL is not known at the moment.',
  ENOENT: 'No server answers at the socket of DATABASE_URL.',
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: 'The certificate of the server of DATABASE_URL is of another host.',
  '28P01': 'PostgreSQL refuses the login of DATABASE_URL: check its name and password.',
  '28000':
    'PostgreSQL refuses the login of DATABASE_URL: there is none of that name, or pg_hba.conf or TLS keep it out.',
  '3D000': 'The database of DATABASE_URL does not exist: create it first.',
  '57P03': 'PostgreSQL is starting or stopping.',
  '53300': 'PostgreSQL has no connection left: lower DATABASE_POOL_MAX.',
  '42704': 'The role of DATABASE_ROLE does not exist: run npm run migrate.',
  '42501':
    'The login of DATABASE_URL may not become the role of DATABASE_ROLE, or lacks another right: the log says which.',
  '22023': 'The login of DATABASE_URL cannot become the role of DATABASE_ROLE: run npm run migrate.',
}

/**
 * What is wrong with the database, in one line that says what to look at and names no host, login or row; undefined where it is
 * not known.
 *
 * @param url the variable that says where the database is. @default 'DATABASE_URL'
 */
export function databaseProblem(error: unknown, url = 'DATABASE_URL'): string | undefined {
  return problemOf(error)?.replace('DATABASE_URL', url)
}

function problemOf(error: unknown): string | undefined {
  for (const cause of causesOf(error)) {
    if (isNotBelieved(cause)) return 'FENCE_SECRET is missing, or another than the migration was given.'
    const inner = cause instanceof AggregateError ? cause.errors[0] : cause
    if (inner.code === 'ENOENT' && inner.syscall === 'open')
      return 'A file that DATABASE_URL names is not there.'
    const known = 'code' in inner ? problems[String(inner.code)] : undefined
    if (known !== undefined) return known
    if (cause.message.startsWith('Connection terminated')) return problems.ECONNRESET
    if (cause.message.startsWith('timeout exceeded'))
      return 'No connection in time: check the host and port of DATABASE_URL.'
    if (cause.message.startsWith('The server does not support SSL'))
      return 'The server of DATABASE_URL has no TLS: turn it on there, or leave sslmode out of the URL.'
  }
  return undefined
}
