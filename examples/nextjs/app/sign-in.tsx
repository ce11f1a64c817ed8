'use client'
import { useActionState } from 'react'
import { authClient } from '@/lib/auth-client'

export function SignIn() {
  // An action, not onSubmit: React keeps a form that is sent before the page has loaded, and the browser would put it into the URL.
  const [{ email, problem }, submit] = useActionState(signIn, { email: '' })
  return (
    <form action={submit}>
      <input name="email" type="email" aria-label="Email" placeholder="Email" required defaultValue={email} />
      <input
        name="password"
        type="password"
        aria-label="Password"
        placeholder="Password"
        required
        minLength={8}
      />
      <button type="submit">Sign in or sign up</button>
      <p role="alert">{problem}</p>
    </form>
  )
}

async function signIn(_: unknown, form: FormData): Promise<{ email: string; problem?: string | undefined }> {
  const fields = { email: String(form.get('email')), password: String(form.get('password')) }
  const { error } = await authClient.signUp.email({ name: fields.email, ...fields })
  // Somebody with this address has signed up before.
  const { error: refusal } = error ? await authClient.signIn.email(fields) : { error: null }
  return { email: fields.email, problem: refusal?.message }
}
