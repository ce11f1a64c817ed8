import { type FormEvent, useState } from 'react'
import { authClient } from './api.js'

export function SignIn() {
  const [problem, setProblem] = useState<string>()
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const fields = Object.fromEntries(new FormData(event.currentTarget)) as {
      email: string
      password: string
    }
    try {
      const { error } = await authClient.signUp.email({ name: fields.email, ...fields })
      // Somebody with this address has signed up before.
      const { error: refusal } = error ? await authClient.signIn.email(fields) : { error: null }
      setProblem(refusal?.message)
    } catch {
      setProblem('The server does not answer. Does it run, and is this page in its CORS_ORIGINS?')
    }
  }
  return (
    <form onSubmit={submit}>
      <input name="email" type="email" placeholder="Email" required />
      <input name="password" type="password" placeholder="Password" required minLength={8} />
      <button type="submit">Sign in or sign up</button>
      <p role="alert">{problem}</p>
    </form>
  )
}
