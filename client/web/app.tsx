import { useCallback, useEffect, useState, useSyncExternalStore } from 'react'
import { createGuest, createOwner, type Person } from './person.js'
import { Workspace } from './workspace.js'

/** The page at `/`. */
export function App() {
  const [owner] = useState(createOwner)
  const [opened, setOpened] = useState<{ guest: Person; by: string } | null>(null)
  const [problem, setProblem] = useState('')
  const [isOpening, setOpening] = useState(false)
  const ownerId = owner.authClient.useSession().data?.user.id
  // A guest belongs to the owner who has opened it, not to whoever signs in next.
  const guest = opened !== null && opened.by === ownerId ? opened.guest : null
  const openGuest = (by: string) => {
    setProblem('')
    setOpening(true)
    createGuest()
      .then(
        created => setOpened({ guest: created, by }),
        () => setProblem('The second person could not be signed up. Try again.'),
      )
      .finally(() => setOpening(false))
  }
  const closeGuest = useCallback((why = '') => {
    setOpened(null)
    setProblem(why)
  }, [])
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className={guest ? 'top top-two' : 'top'}>
        <span className="brand">trpc-bearer</span>
        <nav aria-label="Page">
          {ownerId !== undefined && guest === null && (
            <button type="button" disabled={isOpening} onClick={() => openGuest(ownerId)}>
              Open a second person
            </button>
          )}
          <ThemeButton />
        </nav>
      </header>
      <Offline />
      {problem && (
        <p className="banner" role="alert">
          {problem}
        </p>
      )}
      <main id="main" className={guest ? 'people people-two' : 'people'}>
        <Workspace person={owner} />
        {guest && <Workspace person={guest} close={closeGuest} />}
      </main>
    </>
  )
}

const watchOnline = (listen: () => void) => {
  for (const event of ['online', 'offline']) addEventListener(event, listen)
  return () => {
    for (const event of ['online', 'offline']) removeEventListener(event, listen)
  }
}

function Offline() {
  const isOnline = useSyncExternalStore(watchOnline, () => navigator.onLine)
  return (
    <div role="status">
      {!isOnline && (
        <p className="banner">You are offline. Your changes are sent when the connection is back.</p>
      )}
    </div>
  )
}

const themes = ['system', 'light', 'dark'] as const
type Theme = (typeof themes)[number]

function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(
    () => themes.find(name => name === localStorage.getItem('theme')) ?? 'system',
  )
  useEffect(() => {
    document.documentElement.dataset.theme = theme
    localStorage.setItem('theme', theme)
  }, [theme])
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system'
  return (
    <button type="button" onClick={() => setTheme(next)} aria-label={`Theme: ${theme}. Change to ${next}.`}>
      Theme: {theme}
    </button>
  )
}
