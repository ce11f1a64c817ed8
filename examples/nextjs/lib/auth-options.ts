import { jwt } from 'better-auth/plugins'
import pg from 'pg'

/** What `dev.ts` also needs, which makes the tables. */
export const authOptions = {
  baseURL: process.env.BETTER_AUTH_URL,
  secret: process.env.BETTER_AUTH_SECRET,
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  plugins: [jwt()],
}
