import { ModalDialog } from '../modal-dialog.js'
import type { Person } from '../person.js'
import { SignIn } from './sign-in.js'

/** Over the page, so that nothing below it is lost. */
export function ExpiredDialog({ authClient, email }: { authClient: Person['authClient']; email: string }) {
  return (
    <ModalDialog title="Your session has ended">
      <p>Sign in again to go on where you were. What you typed is still here.</p>
      <SignIn authClient={authClient} email={email} />
    </ModalDialog>
  )
}
