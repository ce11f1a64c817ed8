'use client'
import { type FormEvent, useState } from 'react'
import { authClient } from '@/lib/auth-client'

export function SignIn() {
  const [problem, setProblem] = useState<string>()
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const fields = Object.fromEntries(new FormData(event.currentTarget)) as {
      email: string
      password: string
    }
    const { error } = await authClient.signUp.email({ name: fields.email, ...fields })
    // Somebody with this address has signed up before.
    const { error: refusal } = error ? await authClient.signIn.email(fields) : { error: null }
    setProblem(refusal?.message)
  }
  return (
    <form onSubmit={submit}>
      <input name="email" type="email" aria-label="Email" placeholder="Email" required />
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
