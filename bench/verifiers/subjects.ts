import { isAPIError } from 'better-auth/api'
import { verifyBearerToken } from 'better-auth/oauth2'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { createVerifier, TokenError } from '../../server/index.js'
import { isOutage } from '../../shared/reasons.js'
import type { Issuer } from './controllable-issuer.js'

/** A verifier to compare, with its defaults and the required options: issuer, audience and URL of the keys. */
export interface Subject {
  name: string
  /** Creates one with an empty cache. It returns the `sub` of a good token. */
  make(issuer: Issuer): (token: string) => Promise<unknown>
  /** Its error, as the API sees it. */
  describe(error: unknown): string
}

const jose: Subject = {
  name: 'jose',
  make({ origin, jwksUrl }) {
    const keys = createRemoteJWKSet(new URL(jwksUrl))
    return async token => (await jwtVerify(token, keys, { issuer: origin, audience: origin })).payload.sub
  },
  describe: error => (error instanceof errors.JOSEError ? error.code : plain(error)),
}

const betterAuth: Subject = {
  name: 'Better Auth',
  make({ origin, jwksUrl }) {
    const options = { jwksUrl, verifyOptions: { issuer: origin, audience: origin } }
    return async token => (await verifyBearerToken(token, options)).sub
  },
  describe(error) {
    if (isAPIError(error)) return `${error.statusCode} "${error.message}"`
    return error instanceof errors.JOSEError ? error.code : plain(error)
  },
}

const ours: Subject = {
  name: 'trpc-bearer',
  make({ origin, jwksUrl }) {
    const verifier = createVerifier({ issuer: origin, audience: origin, jwksUrl })
    return async token => (await verifier.verify(token)).id
  },
  describe: error =>
    error instanceof TokenError ? `${isOutage(error.reason) ? 503 : 401} \`${error.reason}\`` : plain(error),
}

const plain = (error: unknown) =>
  error instanceof Error ? `${error.name} "${error.message.slice(0, 40)}"` : String(error)

/** The subjects with these names, or all. */
export function subjectsNamed(names: readonly string[]): Subject[] {
  const all = [jose, betterAuth, ours]
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}
