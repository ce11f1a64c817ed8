import { useState } from 'react'
import type { Person } from '../person.js'
import { SignIn } from './sign-in.js'

const name = 'last email'

/** For the next sign-in in this tab. Empty after a sign-out, so that nothing says who it was. */
export const rememberEmail = (email: string) => sessionStorage.setItem(name, email)

/** The page of nobody. */
export function Welcome({ authClient }: { authClient: Person['authClient'] }) {
  const [email] = useState(() => sessionStorage.getItem(name) ?? undefined)
  return (
    <div className="welcome">
      {email ? (
        <>
          <h1>Your session has ended</h1>
          <p>Sign in again to go on where you were. What you typed is still in this tab.</p>
        </>
      ) : (
        <>
          <h1>Your tasks, and nobody else’s.</h1>
          <p>
            A Better Auth signs you in and gives this page a token. The API verifies it, and PostgreSQL shows
            you your own rows. Sign up with any address: everything stays on this machine.
          </p>
        </>
      )}
      <SignIn authClient={authClient} email={email} />
    </div>
  )
}
