import { createRoot } from 'react-dom/client'
import { apiOptions, authClient, BearerProvider } from './api.js'
import { SignIn } from './sign-in.js'
import { Tasks } from './tasks.js'

function App() {
  const { data: session, isPending } = authClient.useSession()
  if (isPending) return <p>One moment…</p>
  if (session === null) return <SignIn />
  return (
    <>
      <p>
        {session.user.email}{' '}
        <button type="button" onClick={() => authClient.signOut()}>
          Sign out
        </button>
      </p>
      <Tasks />
    </>
  )
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <BearerProvider {...apiOptions}>
    <App />
  </BearerProvider>,
)
