import { type FormEvent, useEffect, useRef, useState } from 'react'
import type { Person } from '../person.js'

interface SignInProps {
  authClient: Person['authClient']
  /** Of the last person in this tab. Undefined if nobody was here, and empty if it is not known any more. */
  email?: string | undefined
}

/** Signs in, or signs up. */
export function SignIn({ authClient, email }: SignInProps) {
  const [mode, setMode] = useState<'sign up' | 'sign in'>(email === undefined ? 'sign up' : 'sign in')
  const form = useRef<HTMLFormElement>(null)
  // Somebody comes back: what had the focus is gone. After the layout effect of a dialog, which moves the focus too.
  useEffect(() => {
    if (email === undefined) return
    form.current?.querySelector<HTMLElement>(`[name=${email === '' ? 'email' : 'password'}]`)?.focus()
  }, [email])
  const [problem, setProblem] = useState('')
  const [isBusy, setBusy] = useState(false)
  const isNew = mode === 'sign up'
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    const [name, address, password] = ['name', 'email', 'password'].map(field =>
      String(fields.get(field) ?? ''),
    )
    setBusy(true)
    setProblem('')
    const account = { email: address ?? '', password: password ?? '' }
    const { error } = await (isNew
      ? authClient.signUp.email({ ...account, name: name || 'You' })
      : authClient.signIn.email(account)
    ).catch(() => ({ error: { message: 'The server did not answer. Check your connection and try again.' } }))
    setBusy(false)
    if (error) setProblem(error.message ?? 'That did not work.')
  }
  return (
    <form ref={form} className="sign-in" onSubmit={submit} aria-label={isNew ? 'Sign up' : 'Sign in'}>
      {isNew && (
        <label>
          Name
          <input name="name" autoComplete="name" required maxLength={100} dir="auto" />
        </label>
      )}
      <label>
        Email
        <input name="email" type="email" autoComplete="email" required defaultValue={email ?? ''} />
      </label>
      <label>
        Password
        <input
          name="password"
          type="password"
          autoComplete={isNew ? 'new-password' : 'current-password'}
          required
          minLength={8}
          aria-describedby={isNew ? 'password-hint' : undefined}
        />
      </label>
      {isNew && (
        <p id="password-hint" className="hint">
          At least 8 characters.
        </p>
      )}
      <p role="alert" className="form-problem">
        {problem}
      </p>
      <div className="buttons">
        <button type="submit" className="primary" disabled={isBusy}>
          {isBusy ? 'One moment…' : isNew ? 'Sign up' : 'Sign in'}
        </button>
        <button type="button" className="link" onClick={() => setMode(isNew ? 'sign in' : 'sign up')}>
          {isNew ? 'I have an account' : 'I am new here'}
        </button>
      </div>
    </form>
  )
}
