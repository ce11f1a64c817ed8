import { isAPIError } from 'better-auth/api'
import { verifyBearerToken } from 'better-auth/oauth2'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { createVerifier, TokenError } from '../../server/index.js'
import { isOutage } from '../../shared/reasons.js'
import type { Issuer } from './controllable-issuer.js'

/** A verifier to compare, with its defaults, given what it must be given: issuer, audience, where the keys are. */
export interface Subject {
  name: string
  /** Makes one that has seen nothing yet. What it returns is the `sub` of a good token. */
  make(issuer: Issuer): (token: string) => Promise<unknown>
  /** What its error says to the one who has to answer the request. */
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

/** Those whose names are given, or all. */
export function subjectsNamed(names: readonly string[]): Subject[] {
  const all = [jose, betterAuth, ours]
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}
