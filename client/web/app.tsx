import { useEffect, useState, useSyncExternalStore } from 'react'
import { createGuest, createOwner, type Person } from './person.js'
import { Workspace } from './workspace.js'

/** The page at `/`. */
export function App() {
  const [owner] = useState(createOwner)
  const [guest, setGuest] = useState<Person | null>(null)
  const [problem, setProblem] = useState('')
  const isSignedIn = owner.authClient.useSession().data !== null
  const openGuest = () => {
    setProblem('')
    createGuest().then(setGuest, () => setProblem('The second person could not be signed up. Try again.'))
  }
  return (
    <>
      <a className="skip" href="#main">
        Skip to the tasks
      </a>
      <header className={guest ? 'top top-two' : 'top'}>
        <span className="brand">trpc-bearer</span>
        <nav aria-label="Page">
          {isSignedIn && guest === null && (
            <button type="button" onClick={openGuest}>
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
        {guest && isSignedIn && <Workspace person={guest} close={() => setGuest(null)} />}
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
