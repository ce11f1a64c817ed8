import { betterAuth } from 'better-auth'
import { jwt, organization } from 'better-auth/plugins'
import type { Pool } from 'pg'

/** A Better Auth whose tokens name the active organisation, and the roles of the caller in it. */
export function createAuth({ baseURL, secret, pool }: { baseURL: string; secret: string; pool: Pool }) {
  return betterAuth({
    baseURL,
    secret,
    database: pool,
    emailAndPassword: { enabled: true },
    plugins: [
      organization(),
      jwt({
        jwt: {
          // A token keeps what it says until it expires, also for a member who was removed.
          expirationTime: '5m',
          async definePayload({ user, session }) {
            const { activeOrganizationId: orgId } = session
            // The session of a removed member still names the organisation, so this looks for the membership.
            const { rows } = await pool.query<{ role: string }>(
              'select role from member where "organizationId" = $1 and "userId" = $2',
              [orgId, user.id],
            )
            const [member] = rows
            return { name: user.name, ...(member && { orgId, orgRoles: member.role.split(',') }) }
          },
        },
      }),
    ],
  })
}
