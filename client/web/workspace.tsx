import { useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { BearerProvider } from './api.js'
import type { Person } from './person.js'
import { Welcome } from './session/welcome.js'
import { SignedIn } from './signed-in.js'
import { useStore } from './store.js'

interface WorkspaceProps {
  person: Person
  /** Closes the guest, and says why if it was not asked for. */
  close?: ((problem?: string) => void) | undefined
}

/** Everything of one person: the sign-in, the tasks, and how it works. */
export function Workspace({ person, close }: WorkspaceProps) {
  return (
    <BearerProvider url="/trpc" fetch={person.calls.fetch} auth={person.auth}>
      <Contents person={person} close={close} />
    </BearerProvider>
  )
}

function Contents({ person, close }: WorkspaceProps) {
  const { authClient, isGuest } = person
  const { data: session, isPending, error, refetch } = authClient.useSession()
  const queryClient = useQueryClient()
  const isExpired = useStore(person.isExpired)
  const sessionId = session?.session.id
  useEffect(() => {
    if (sessionId === undefined) return
    person.isExpired.set(false)
    void queryClient.invalidateQueries()
  }, [sessionId, person, queryClient])
  const isLoading = isPending && session === null
  const isUnknown = Boolean(error) && error?.status !== 401 && session === null
  // Nobody knows the password of a guest.
  const isGuestGone = isGuest && !isLoading && !isUnknown && (isExpired || session === null)
  useEffect(() => {
    if (isGuestGone) close?.('The session of the second person has ended.')
  }, [isGuestGone, close])

  if (isLoading || isGuestGone)
    return (
      <p className="loading" role="status">
        One moment…
      </p>
    )
  if (isUnknown)
    return (
      <div className="problem" role="alert">
        <p>The server that signs people in does not answer.</p>
        <button type="button" onClick={() => void refetch()}>
          Try again
        </button>
      </div>
    )
  if (session === null) return <Welcome authClient={authClient} />
  return <SignedIn key={session.user.id} person={person} user={session.user} close={close} />
}
