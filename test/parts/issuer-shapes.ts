/**
 * Tokens as the issuers document them (docs/verifier.md has the sources). The test adds `iat`, `exp` and `keys`.
 */
interface IssuerShape {
  name: string
  /** For `createVerifier`, without the keys. */
  options: {
    issuer: string | ((iss: string) => boolean)
    audience: string | readonly string[] | null
    authorizedParties?: readonly string[]
    types?: readonly string[]
    user?: (claims: Record<string, unknown>) => { id: string; email?: string; name?: string; scope?: string }
  }
  header: { typ?: string; alg: 'EdDSA' | 'ES256' | 'RS256' }
  claims: Record<string, unknown>
  /** The whole user. */
  expected: { id: string; email?: string; name?: string; scope?: string }
}

const entraTenant = '72f988bf-86f1-41af-91ab-2d7cd011db47'
const entraIssuer = `https://login.microsoftonline.com/${entraTenant}/v2.0`
const entraApi = '6e74172b-be56-4843-9ff4-e66a39bb12e3'
const entraTenants = new Set([entraTenant])
const entraSub = 'HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ'
const entraUserClaims = {
  // Decoded from the v2.0 sample token in the documentation (there azp is the same application as aud; aio and rh are left out).
  aud: entraApi,
  iss: entraIssuer,
  azp: '11112222-bbbb-3333-cccc-4444dddd5555',
  azpacr: '0',
  name: 'Abe Lincoln', // only with the scope `profile`
  oid: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
  preferred_username: 'abeli@microsoft.com',
  scp: 'access_as_user', // a string with spaces, only for users
  sub: entraSub,
  tid: entraTenant,
  uti: 'fqiBqXLPj0eQa82S-IYFAA',
  ver: '2.0',
}

const cognitoPool = 'https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example'
const cognitoClient = '57cbishk4j24pabc1234567890'

const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
const words = (value: unknown) => (Array.isArray(value) ? value.join(' ') : undefined)
const withScope = (id: string, scope: string | undefined) => ({ id, ...(scope !== undefined && { scope }) })

export const issuerShapes: readonly IssuerShape[] = [
  {
    name: 'Better Auth, jwt plugin',
    options: { issuer: 'https://auth.example.com', audience: 'https://auth.example.com' },
    // No typ: seen in the source (plugins/jwt/sign.ts), not documented.
    header: { alg: 'EdDSA' },
    claims: {
      iss: 'https://auth.example.com',
      aud: 'https://auth.example.com',
      sub: 'q0GbNcnJXEb0ObWcVRTVyiHhyvMIyHKD',
      // "By default the entire user object is added": these are the core fields of a user.
      id: 'q0GbNcnJXEb0ObWcVRTVyiHhyvMIyHKD',
      name: 'Ada Lovelace',
      email: 'ada@example.com',
      emailVerified: true,
      image: null,
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:00.000Z',
    },
    expected: { id: 'q0GbNcnJXEb0ObWcVRTVyiHhyvMIyHKD', email: 'ada@example.com', name: 'Ada Lovelace' },
  },
  {
    name: 'Auth0, access token for an API',
    options: { issuer: 'https://my-domain.auth0.com/', audience: 'https://example.com/health-api' },
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      iss: 'https://my-domain.auth0.com/',
      sub: 'auth0|123456',
      aud: ['https://example.com/health-api', 'https://my-domain.auth0.com/userinfo'],
      azp: 'my_client_id',
      scope: 'openid profile read:patients read:admin',
    },
    expected: { id: 'auth0|123456', scope: 'openid profile read:patients read:admin' },
  },
  {
    name: 'Auth0, RFC 9068 profile with RBAC',
    options: {
      issuer: 'https://my-domain.auth0.com/',
      audience: 'https://example.com/health-api',
      authorizedParties: ['my_client_id'],
      types: ['at+jwt'],
    },
    header: { typ: 'at+jwt', alg: 'RS256' },
    claims: {
      iss: 'https://my-domain.auth0.com/',
      sub: 'auth0|123456',
      aud: ['https://example.com/health-api', 'https://my-domain.auth0.com/userinfo'],
      client_id: 'my_client_id',
      jti: '73WakrfVbNJBaAmhQtEeDv',
      scope: 'openid profile read:patients read:admin',
      permissions: ['read:patients', 'read:admin'],
    },
    expected: { id: 'auth0|123456', scope: 'openid profile read:patients read:admin' },
  },
  {
    name: 'Auth0, machine token',
    options: { issuer: 'https://my-domain.auth0.com/', audience: 'https://example.com/health-api' },
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      iss: 'https://my-domain.auth0.com/',
      sub: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients',
      aud: 'https://example.com/health-api',
      azp: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx',
      scope: 'read:patients',
      // gty: the documentation has it only for `password` and `refresh_token`.
    },
    expected: { id: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients', scope: 'read:patients' },
  },
  {
    name: 'Clerk, session token version 2',
    options: {
      issuer: 'https://clerk.your-site.com',
      audience: null,
      authorizedParties: ['https://example.com'], // an origin. Clerk may leave azp out; then the verifier refuses the token
    },
    // typ is not documented in the pages read; JWT is an assumption. With none the token is accepted, too.
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      azp: 'https://example.com',
      fva: [7, -1],
      iss: 'https://clerk.your-site.com',
      jti: '1234567890',
      sid: 'sess_123',
      sub: 'user_123',
      v: 2,
      pla: 'u:free,o:pro',
      fea: 'o:dashboard,o:impersonation',
      sts: 'active', // the documentation names only `pending`; `active` is an assumption
      o: { id: 'org_123', slg: 'org-slug', rol: 'admin', per: 'read,manage', fpm: '3,2' },
    },
    expected: { id: 'user_123' },
  },
  {
    name: 'Keycloak, access token with an Audience mapper',
    // The exact iss is not spelled out in the pages read; it follows from OpenID Connect Discovery and the documented metadata URL.
    options: { issuer: 'https://keycloak.example.com/realms/demo', audience: 'service1' },
    // Header typ `JWT` by default and `at+jwt` per client since 26.2: found only in third-party text. The default alg RS256: in
    // Keycloak's own test realms.
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      iss: 'https://keycloak.example.com/realms/demo',
      aud: ['service1', 'account'],
      sub: '3f9c2c4e-9b0e-4f0e-8a52-6d0f5a3a7b11',
      typ: 'Bearer', // in the payload, not the header
      azp: 'frontend-client',
      sid: '6f1d1c1e-4a0b-4a8e-9d5f-0c3e0a4f7b22',
      jti: '0b8f7c52-7f5e-4a89-9f6a-b1d8a4fbb0c3',
      acr: '1',
      'allowed-origins': ['https://example.com'],
      realm_access: { roles: ['offline_access', 'uma_authorization'] },
      resource_access: { service1: { roles: ['service1-role'] } },
      scope: 'openid profile email',
      email_verified: true,
      name: 'John Doe',
      preferred_username: 'john',
      given_name: 'John',
      family_name: 'Doe',
      email: 'john@example.com',
    },
    expected: {
      id: '3f9c2c4e-9b0e-4f0e-8a52-6d0f5a3a7b11',
      email: 'john@example.com',
      name: 'John Doe',
      scope: 'openid profile email',
    },
  },
  {
    name: 'Keycloak with "at+jwt" header',
    // From third-party text only (client attribute access.token.header.type.rfc9068, since 26.2). `JWT` too, while clients differ.
    options: {
      issuer: 'https://keycloak.example.com/realms/demo',
      audience: 'service1',
      authorizedParties: ['frontend-client'],
      types: ['at+jwt', 'JWT'],
    },
    header: { typ: 'at+jwt', alg: 'RS256' },
    claims: {
      iss: 'https://keycloak.example.com/realms/demo',
      aud: 'service1',
      sub: '3f9c2c4e-9b0e-4f0e-8a52-6d0f5a3a7b11',
      typ: 'Bearer',
      azp: 'frontend-client',
      scope: 'openid',
    },
    expected: { id: '3f9c2c4e-9b0e-4f0e-8a52-6d0f5a3a7b11', scope: 'openid' },
  },
  {
    name: 'Keycloak, machine token',
    options: {
      issuer: 'https://keycloak.example.com/realms/demo',
      audience: 'service1',
      authorizedParties: ['product-sa-client'],
    },
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      iss: 'https://keycloak.example.com/realms/demo',
      aud: 'service1',
      // Documented: always there. Not found: that it is the id of the service account's user.
      sub: 'c2b0f0a7-5d5e-4f0c-9a33-0d3a4e1f6a44',
      typ: 'Bearer',
      azp: 'product-sa-client',
      client_id: 'product-sa-client', // only found in third-party text
      preferred_username: 'service-account-product-sa-client', // not found in the pages read
      scope: 'email profile',
    },
    expected: { id: 'c2b0f0a7-5d5e-4f0c-9a33-0d3a4e1f6a44', scope: 'email profile' },
  },
  {
    name: 'Supabase Auth, asymmetric signing key',
    options: { issuer: 'https://abcdefghijklmnopqrst.supabase.co/auth/v1', audience: 'authenticated' },
    header: { typ: 'JWT', alg: 'ES256' },
    claims: {
      aal: 'aal1',
      amr: [{ method: 'password', timestamp: 1640991600 }],
      app_metadata: { provider: 'email', providers: ['email'] },
      aud: 'authenticated',
      email: 'user@example.com',
      iss: 'https://abcdefghijklmnopqrst.supabase.co/auth/v1',
      phone: '',
      role: 'authenticated',
      session_id: '123e4567-e89b-12d3-a456-426614174000',
      sub: '123e4567-e89b-12d3-a456-426614174000',
      user_metadata: { name: 'John Doe' },
      is_anonymous: false,
    },
    expected: { id: '123e4567-e89b-12d3-a456-426614174000', email: 'user@example.com' },
  },
  {
    name: 'Amazon Cognito, access token',
    options: { issuer: cognitoPool, audience: null, authorizedParties: [cognitoClient] },
    header: { alg: 'RS256' }, // "The header contains two pieces of information", kid and alg
    claims: {
      sub: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      device_key: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      'cognito:groups': ['admin'],
      token_use: 'access',
      scope: 'aws.cognito.signin.user.admin',
      auth_time: 1562190524,
      iss: cognitoPool,
      origin_jti: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      jti: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      client_id: cognitoClient,
      username: 'janedoe@example.com',
    },
    expected: { id: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', scope: 'aws.cognito.signin.user.admin' },
  },
  {
    name: 'Amazon Cognito, access token bound to a resource',
    // aud is the resource that was asked for: from the announcement of the feature; the sample of the documentation was not found.
    options: { issuer: cognitoPool, audience: 'https://api.example.com', authorizedParties: [cognitoClient] },
    header: { alg: 'RS256' },
    claims: {
      sub: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      aud: 'https://api.example.com',
      token_use: 'access',
      scope: 'openid',
      iss: cognitoPool,
      client_id: cognitoClient,
      username: 'janedoe@example.com',
    },
    expected: { id: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', scope: 'openid' },
  },
  {
    name: 'Amazon Cognito, ID token',
    options: { issuer: cognitoPool, audience: 'xxxxxxxxxxxxexample' },
    header: { alg: 'RS256' },
    claims: {
      sub: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      aud: 'xxxxxxxxxxxxexample',
      email_verified: true,
      token_use: 'id',
      auth_time: 1500009400,
      iss: cognitoPool,
      'cognito:username': 'janedoe',
      given_name: 'Jane',
      email: 'janedoe@example.com',
      jti: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
      origin_jti: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
    },
    expected: { id: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', email: 'janedoe@example.com' },
  },
  {
    name: 'Amazon Cognito, machine token',
    options: { issuer: cognitoPool, audience: null, authorizedParties: [cognitoClient] },
    header: { alg: 'RS256' },
    claims: {
      // sub = client_id, no username: from a third-party sample; not documented in the pages read.
      sub: cognitoClient,
      token_use: 'access',
      scope: 'solar-system-data/sunproximity.read',
      auth_time: 1633781133,
      iss: cognitoPool,
      version: 2,
      jti: '39cdbc77-8743-4e1e-9669-96e62b165f1c',
      client_id: cognitoClient,
    },
    expected: { id: cognitoClient, scope: 'solar-system-data/sunproximity.read' },
  },
  {
    name: 'Microsoft Entra ID, single tenant, v2.0',
    options: {
      issuer: entraIssuer,
      audience: entraApi,
      user: ({ sub, name, scp }) => ({
        ...withScope(String(sub), text(scp)),
        ...(typeof name === 'string' && { name }),
      }),
    },
    header: { typ: 'JWT', alg: 'RS256' },
    claims: entraUserClaims,
    expected: { id: entraSub, name: 'Abe Lincoln', scope: 'access_as_user' },
  },
  {
    name: 'Microsoft Entra ID, multi tenant, v2.0',
    options: {
      issuer: iss =>
        entraTenants.has(
          /^https:\/\/login\.microsoftonline\.com\/([\da-f-]{36})\/v2\.0$/.exec(iss)?.[1] ?? '',
        ),
      audience: entraApi,
      user: ({ iss, sub, scp }) => withScope(JSON.stringify([iss, sub]), text(scp)),
    },
    header: { typ: 'JWT', alg: 'RS256' },
    claims: entraUserClaims,
    expected: { id: JSON.stringify([entraIssuer, entraSub]), scope: 'access_as_user' },
  },
  {
    name: 'Microsoft Entra ID, machine token, v2.0',
    options: {
      issuer: entraIssuer,
      audience: entraApi,
      authorizedParties: ['535fb089-9ff3-47b6-9bfb-4f1264799865'],
      user: ({ sub, roles }) => withScope(String(sub), words(roles)),
    },
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      aud: entraApi,
      iss: entraIssuer,
      azp: '535fb089-9ff3-47b6-9bfb-4f1264799865',
      azpacr: '1',
      idtyp: 'app', // an optional claim: only if the API asks for it
      oid: '4f8b1c2d-3e4f-4a5b-8c6d-7e8f9a0b1c2d',
      roles: ['Notes.Read.All'], // may be missing
      // The value of sub is not documented in the pages read; the same as oid is an assumption.
      sub: '4f8b1c2d-3e4f-4a5b-8c6d-7e8f9a0b1c2d',
      tid: entraTenant,
      uti: 'fqiBqXLPj0eQa82S-IYFAA',
      ver: '2.0',
    },
    expected: { id: '4f8b1c2d-3e4f-4a5b-8c6d-7e8f9a0b1c2d', scope: 'Notes.Read.All' },
  },
  {
    name: 'WorkOS AuthKit, access token',
    // iss as in the READMEs of the WorkOS SDKs. The API reference shows https://api.workos.com, the sessions page https://api.workos.com/.
    options: {
      issuer: 'https://api.workos.com/user_management/client_123456789',
      audience: null,
      authorizedParties: ['client_123456789'],
    },
    // alg and typ are not documented in the pages read; RS256 in third-party code.
    header: { alg: 'RS256' },
    claims: {
      iss: 'https://api.workos.com/user_management/client_123456789',
      sub: 'user_01HBEQKA6K4QJAS93VPE39W1JT',
      // client_id is not in the documented token, only in third-party tests. Without it the verifier refuses the token.
      client_id: 'client_123456789',
      org_id: 'org_01HRDMC6CM357W30QMHMQ96Q0S',
      role: 'member',
      roles: ['member'],
      permissions: ['posts:read', 'posts:write'],
      entitlements: ['audit-logs'],
      sid: 'session_01HQSXZGF8FHF7A9ZZFCW4387R',
      jti: '01HQSXZXPPFPKMDD32RKTFY6PV',
    },
    expected: { id: 'user_01HBEQKA6K4QJAS93VPE39W1JT' },
  },
  {
    name: 'Kinde, access token',
    options: {
      issuer: 'https://example.kinde.com',
      audience: 'myapp:prod-api',
      user: ({ sub, scp }) => withScope(String(sub), words(scp)),
    },
    // typ is not documented in the pages read; JWT is an assumption.
    header: { typ: 'JWT', alg: 'RS256' },
    claims: {
      aud: ['myapp:prod-api'],
      azp: 'dee7f3c57b3c47e8b96edde2c7ecab7d',
      feature_flags: { analytics: { t: 'b', v: true }, theme: { t: 's', v: 'pink' } },
      iss: 'https://example.kinde.com',
      jti: 'fbb6bc62-a64e-4256-8ea4-8fb9a645b123',
      org_code: 'org_xxxxxxxxx',
      permissions: ['create:competitions', 'view:stats'],
      scp: ['openid', 'profile', 'email', 'offline'],
      sub: 'kp_xxxxxxxxx', // the sample has `kp:_…`, the text below it `kp_…`
    },
    expected: { id: 'kp_xxxxxxxxx', scope: 'openid profile email offline' },
  },
]
