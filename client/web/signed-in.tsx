import { useEffect, useRef, useState } from 'react'
import { useKeptFocus } from './kept-focus.js'
import { NoticeList, useNotices } from './notices.js'
import { HowItWorks } from './panel/how-it-works.js'
import type { Person } from './person.js'
import { ExpiredDialog } from './session/expired-dialog.js'
import { rememberEmail } from './session/welcome.js'
import { useStore } from './store.js'
import { TaskList } from './tasks/task-list.js'
import { isWaiting, openUnsent } from './tasks/unsent.js'

interface SignedInProps {
  person: Person
  user: { id: string; name: string; email: string }
  /** Closes the guest. */
  close?: (() => void) | undefined
}

/** The tasks of somebody who is signed in, and how it works. */
export function SignedIn({ person, user, close }: SignedInProps) {
  const { authClient, isGuest } = person
  const notices = useNotices()
  const [unsent] = useState(() => openUnsent(user.id))
  const isExpired = useStore(person.isExpired)
  const workspace = useRef<HTMLDivElement>(null)
  const heading = useRef<HTMLHeadingElement>(null)
  useKeptFocus(workspace, heading)
  useEffect(() => {
    // On a narrow screen the guest is far below the button that opens it.
    if (isGuest) heading.current?.focus()
    else rememberEmail(user.email)
  }, [isGuest, user.email])

  const signOut = async () => {
    notices.close('sign-out')
    rememberEmail('')
    const { error } = await authClient.signOut().catch(() => ({ error: 'no answer' }))
    if (!error) return unsent.discard()
    rememberEmail(user.email)
    notices.show({
      key: 'sign-out',
      problem: 'You are still signed in, because the server did not answer.',
      action: { label: 'Try again', run: () => void signOut() },
    })
  }
  const closeGuest = () => {
    unsent.discard()
    close?.()
    authClient.signOut().catch(() => {})
  }
  const leave = isGuest ? closeGuest : () => void signOut()
  const askToLeave = () => {
    if (!isWaiting(unsent.get())) return leave()
    notices.show({
      key: 'sign-out',
      problem: 'Some changes are not saved yet. They would be discarded.',
      action: { label: 'Leave anyway', run: leave },
    })
  }
  return (
    <div className="workspace" ref={workspace}>
      <section className="list" aria-label={`Tasks of ${user.name}`}>
        <header className="person">
          <div>
            <h1 ref={heading} tabIndex={-1}>
              {isGuest ? 'The guest’s tasks' : 'Your tasks'}
            </h1>
            <p className="hint">{user.email}</p>
          </div>
          <button type="button" onClick={askToLeave}>
            {isGuest ? 'Close' : 'Sign out'}
          </button>
        </header>
        <TaskList userId={user.id} unsent={unsent} notices={notices} />
      </section>
      <HowItWorks person={person} />
      <NoticeList notices={notices} />
      {isExpired && !isGuest && <ExpiredDialog authClient={authClient} email={user.email} />}
    </div>
  )
}
