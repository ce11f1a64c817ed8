import { z } from 'zod'
import type { Options, TokenCase } from './token-case.js'
import { claims, good, issuer, keys, noon, sealed, secret, token } from './token-fixtures.js'

const head = { alg: 'EdDSA', kid: 'ed' }
/** A claim that JSON.stringify cannot write. */
const written = (name: string, value: string) =>
  sealed(head, JSON.stringify(claims({ [name]: '?' })).replace('"?"', value))

/** The id is not the sub. */
const byUid: Options = {
  user: z.object({ uid: z.string().default('alice') }).transform(({ uid }) => ({ id: uid })),
}
const accessTokens: Options = { types: ['JWT', 'at+jwt'] }
const young: Options = { maxTokenAge: 60 }
const revocable: Options = {
  isRevoked({ jti, email }) {
    if (jti === 'unclear') throw new Error(`The list of revoked tokens is away, for ${email}.`)
    return jti === 'stolen'
  },
}

/** RFC 7519 sections 4.1.1 and 4.1.3, RFC 8725 sections 3.8 and 3.9. */
const audienceCases: TokenCase[] = [
  ['another iss', 'issuer', () => token({ iss: 'https://evil.example.net' })],
  ['no iss', 'issuer', () => token({ iss: undefined })],
  ['an iss that is null', 'issuer', () => token({ iss: null })],
  ['an iss that is a number', 'issuer', () => token({ iss: 1 })],
  ['an iss in a list', 'issuer', () => token({ iss: [issuer] })],
  ['an iss that is no text in any way', 'issuer', () => token({ iss: { toString: 1 } })],
  ['an iss whose toString is null', 'issuer', () => token({ iss: { toString: null, valueOf: null } })],
  ['an iss in a list that is no text', 'issuer', () => token({ iss: [{ toString: 1 }] })],
  ['an iss in capitals', 'issuer', () => token({ iss: issuer.toUpperCase() })],
  ['an iss with a slash behind', 'issuer', () => token({ iss: `${issuer}/` })],
  ['an iss that begins like ours', 'issuer', () => token({ iss: `${issuer}.evil.example.net` })],
  ['an iss with our port', 'issuer', () => token({ iss: `${issuer}:443` })],
  ['an iss before a NUL', 'issuer', () => token({ iss: `${issuer}\0` })],
  ['another aud', 'audience', () => token({ aud: 'https://other.example.com' })],
  ['no aud', 'audience', () => token({ aud: undefined })],
  ['an aud that is null', 'audience', () => token({ aud: null })],
  ['an empty aud', 'audience', () => token({ aud: '' })],
  ['an empty list of aud', 'audience', () => token({ aud: [] })],
  ['a list of other auds', 'audience', () => token({ aud: ['https://other.example.com', `${issuer}/`] })],
  ['an aud in a list in a list', 'audience', () => token({ aud: [[issuer]] })],
  ['our aud in a list with an object', 'audience', () => token({ aud: [issuer, { any: true }] })],
  ['an aud that is an object', 'audience', () => token({ aud: { [issuer]: issuer } })],
  ['an aud that begins like ours', 'audience', () => token({ aud: `${issuer} https://other.example.com` })],
  ['an aud that ours begins like', 'audience', () => token({ aud: issuer.slice(0, -1) })],
  ['our aud among others', 'accepted', () => token({ aud: ['https://other.example.com', issuer] })],
  ['our aud alone in a list', 'accepted', () => token({ aud: [issuer] })],
]

/** RFC 7519 sections 2 (NumericDate) and 4.1.4 to 4.1.6. */
const timeCases: TokenCase[] = [
  ['no exp', 'claims', () => token({ exp: undefined })],
  ['an exp that is a text', 'claims', () => token({ exp: String(noon + 900) })],
  ['an exp that is null', 'claims', () => token({ exp: null })],
  ['an exp in a list', 'claims', () => token({ exp: [noon + 900] })],
  ['an exp that is true', 'claims', () => token({ exp: true })],
  ['an exp that is a date', 'claims', () => token({ exp: '2099-01-01T00:00:00Z' })],
  ['an exp beyond all numbers', 'claims', () => written('exp', '1e999')],
  ['an exp below all numbers', 'claims', () => written('exp', '-1e999')],
  ['a negative exp', 'expired', () => token({ exp: -1 })],
  ['an exp of zero', 'expired', () => token({ exp: 0 })],
  ['an exp of minus zero', 'expired', () => written('exp', '-0')],
  ['an exp 5 seconds ago', 'expired', () => token({ exp: noon - 5 })],
  ['an exp an hour ago', 'expired', () => token({ exp: noon - 3_600 })],
  ['an exp 4 seconds ago', 'accepted', () => token({ exp: noon - 4 })],
  ['an exp 4.5 seconds ago', 'accepted', () => token({ exp: noon - 4.5 })],
  ['an exp that is a fraction', 'accepted', () => token({ exp: noon + 0.5 })],
  ['an exp in milliseconds', 'accepted', () => token({ exp: (noon + 900) * 1000 })],
  ['an nbf in 6 seconds', 'not_yet_valid', () => token({ nbf: noon + 6 })],
  ['an nbf in 5 seconds', 'accepted', () => token({ nbf: noon + 5 })],
  ['an nbf that is a text', 'claims', () => token({ nbf: '0' })],
  ['an nbf that is null', 'claims', () => token({ nbf: null })],
  ['an nbf beyond all numbers', 'claims', () => written('nbf', '1e999')],
  ['an iat in 6 seconds', 'not_yet_valid', () => token({ iat: noon + 6 })],
  ['an iat in 5 seconds', 'accepted', () => token({ iat: noon + 5 })],
  ['an iat that is a text', 'claims', () => token({ iat: 'now' })],
  ['an iat below all numbers', 'claims', () => written('iat', '-1e999')],
  ['no iat', 'accepted', () => token({ iat: undefined })],
  ['no iat, where its age counts', 'claims', () => token({ iat: undefined }), young],
  ['older than its age may be', 'expired', () => token({ iat: noon - 65 }), young],
  ['as old as its age may be', 'accepted', () => token({ iat: noon - 64 }), young],
  ['expired, however young', 'expired', () => token({ iat: noon - 30, exp: noon - 10 }), young],
]

/** RFC 7519 section 4.1.2, and what PostgreSQL can hold. */
const subjectCases: TokenCase[] = [
  ['no sub', 'claims', () => token({ sub: undefined })],
  ['no sub, where the user is made of another claim', 'claims', () => token({ sub: undefined }), byUid],
  ['an id that the application made empty', 'claims', () => token({ uid: '' }), byUid],
  ['an id that the application cannot make', 'claims', () => token({ uid: 1 }), byUid],
  ['an empty sub', 'claims', () => token({ sub: '' })],
  ['a sub that is null', 'claims', () => token({ sub: null })],
  ['a sub that is a number', 'claims', () => token({ sub: 1 })],
  ['a sub in a list', 'claims', () => token({ sub: ['alice'] })],
  ['a sub that is an object', 'claims', () => token({ sub: { id: 'alice' } })],
  ['a sub of 256 characters', 'claims', () => token({ sub: 'a'.repeat(256) })],
  ['a sub with a NUL', 'claims', () => token({ sub: 'ali\0ce' })],
  ['a sub with half a character', 'claims', () => written('sub', '"ali\\ud83ece"')],
  ['a sub of 255 characters', 'accepted', () => token({ sub: 'a'.repeat(255) })],
  [
    'claims that are no business of ours',
    'accepted',
    () => token({ email: 1, name: null, jti: [], azp: {} }),
  ],
]

/** RFC 8725 section 3.11, RFC 9068 section 4. */
const typeCases: TokenCase[] = [
  ['typ at+jwt', 'claims', () => token({}, { typ: 'at+jwt' })],
  ['typ application/at+jwt', 'claims', () => token({}, { typ: 'application/at+jwt' })],
  ['typ logout+jwt', 'claims', () => token({}, { typ: 'logout+jwt' })],
  ['typ dpop+jwt', 'claims', () => token({}, { typ: 'dpop+jwt' })],
  ['typ JWS', 'claims', () => token({}, { typ: 'JWS' })],
  ['an empty typ', 'claims', () => token({}, { typ: '' })],
  ['a typ that is null', 'claims', () => token({}, { typ: null })],
  ['a typ in a list', 'claims', () => token({}, { typ: ['JWT'] })],
  ['typ JWT before a space', 'claims', () => token({}, { typ: 'JWT ' })],
  ['typ application/application/jwt', 'claims', () => token({}, { typ: 'application/application/jwt' })],
  ['typ logout+jwt, where at+jwt counts', 'claims', () => token({}, { typ: 'logout+jwt' }), accessTokens],
  ['typ at+jwt, where it counts', 'accepted', () => token({}, { typ: 'at+jwt' }), accessTokens],
  [
    'typ application/AT+JWT, where it counts',
    'accepted',
    () => token({}, { typ: 'application/AT+JWT' }),
    accessTokens,
  ],
  ['typ JWT', 'accepted', () => token({}, { typ: 'JWT' })],
  ['typ application/jwt', 'accepted', () => token({}, { typ: 'application/jwt' })],
]

/** The code that makes carol's user throws an error that contains a claim. */
const throwing = (fail: (email: string) => unknown): Options => ({
  user: z.object({ sub: z.string(), email: z.string() }).transform(async ({ sub, email }) => {
    if (sub === 'carol') await fail(email)
    return { id: sub }
  }),
})
const ofCarol = () => token({ sub: 'carol' })

const userCases: TokenCase[] = [
  [
    'a user schema that throws',
    'claims',
    ofCarol,
    throwing(email => {
      throw new TypeError(`There is no ${email}.`)
    }),
  ],
  ['a user schema that rejects', 'claims', ofCarol, throwing(email => Promise.reject(email))],
  [
    'a user schema that refuses, and quotes a claim',
    'claims',
    ofCarol,
    {
      user: z
        .object({ sub: z.string(), email: z.string() })
        .refine(({ sub }) => sub !== 'carol', { error: ({ input }) => `Who is ${JSON.stringify(input)}?` })
        .transform(({ sub }) => ({ id: sub })),
    },
  ],
  [
    'a user schema that refuses by a name within a claim',
    'claims',
    () => token({ sub: 'carol', groups: { [secret]: 1 } }),
    {
      user: z
        .object({ sub: z.string(), groups: z.record(z.string(), z.literal('member')).optional() })
        .transform(({ sub }) => ({ id: sub })),
    },
  ],
  [
    'a user schema that makes nobody',
    'claims',
    ofCarol,
    { user: z.any().transform(({ sub }) => JSON.parse(sub === 'carol' ? 'null' : `{"id":"${sub}"}`)) },
  ],
]

const revocationCases: TokenCase[] = [
  ['revoked', 'revoked', () => token({ jti: 'stolen' }), revocable],
  ['nobody knows whether revoked', 'revocation_unavailable', () => token({ jti: 'unclear' }), revocable],
  [
    'forged, where revocation counts',
    'signature',
    () => token({ jti: 'unclear' }, {}, keys.attacker),
    revocable,
  ],
  ['not revoked', 'accepted', () => good, revocable],
]

export const claimCases: TokenCase[] = [
  ...audienceCases,
  ...timeCases,
  ...subjectCases,
  ...typeCases,
  ...userCases,
  ...revocationCases,
]
