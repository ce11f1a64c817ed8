import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { BearerProvider } from './api.js'
import { discardDraftsOf } from './drafts.js'
import { NoticeList, useNotices } from './notices.js'
import { HowItWorks } from './panel/how-it-works.js'
import type { Person } from './person.js'
import { ExpiredDialog } from './session/expired-dialog.js'
import { SignIn } from './session/sign-in.js'
import { useStore } from './store.js'
import { TaskList } from './tasks/task-list.js'

interface WorkspaceProps {
  person: Person
  /** Closes the guest. */
  close?: (() => void) | undefined
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
  const notices = useNotices()
  const isExpired = useStore(person.isExpired)
  const queryClient = useQueryClient()
  const sessionId = session?.session.id
  const heading = useRef<HTMLHeadingElement>(null)
  // On a narrow screen the guest is far below the button that opens it.
  useEffect(() => {
    if (isGuest && sessionId !== undefined) heading.current?.focus()
  }, [isGuest, sessionId])
  useEffect(() => {
    if (sessionId === undefined) return
    person.isExpired.set(false)
    void queryClient.invalidateQueries()
  }, [sessionId, person, queryClient])

  if (isPending && session === null)
    return (
      <p className="loading" role="status">
        One moment…
      </p>
    )
  if (error && error.status !== 401 && session === null)
    return (
      <div className="problem" role="alert">
        <p>The server that signs people in does not answer.</p>
        <button type="button" onClick={() => void refetch()}>
          Try again
        </button>
      </div>
    )
  if (session === null)
    return (
      <div className="welcome">
        <h1>Your tasks, and nobody else’s.</h1>
        <p>
          A Better Auth signs you in and gives this page a token. The API verifies it, and PostgreSQL shows
          you your own rows. Sign up with any address: everything stays on this machine.
        </p>
        <SignIn authClient={authClient} />
      </div>
    )
  const { user } = session
  const signOut = async () => {
    discardDraftsOf(user.id)
    if (isGuest) close?.()
    await authClient.signOut()
    // A call that failed meanwhile has put its text back.
    discardDraftsOf(user.id)
  }
  return (
    <div className="workspace">
      <section className="list" aria-label={`Tasks of ${user.name}`}>
        <header className="person">
          <div>
            <h1 ref={heading} tabIndex={-1}>
              {isGuest ? 'The guest’s tasks' : 'Your tasks'}
            </h1>
            <p className="hint">{user.email}</p>
          </div>
          <button type="button" onClick={() => void signOut()}>
            {isGuest ? 'Close' : 'Sign out'}
          </button>
        </header>
        <TaskList userId={user.id} notices={notices} />
      </section>
      <HowItWorks person={person} />
      <NoticeList shown={notices.shown} />
      {isExpired && <ExpiredDialog authClient={authClient} email={user.email} />}
    </div>
  )
}
