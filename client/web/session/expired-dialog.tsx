import { useEffect, useRef } from 'react'
import type { Person } from '../person.js'
import { SignIn } from './sign-in.js'

/** Over the page, so that nothing below it is lost. */
export function ExpiredDialog({ authClient, email }: { authClient: Person['authClient']; email: string }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby="expired-title" onCancel={event => event.preventDefault()}>
      <h2 id="expired-title">Your session has ended</h2>
      <p>Sign in again to go on where you were. What you typed is still here.</p>
      <SignIn authClient={authClient} email={email} />
    </dialog>
  )
}
