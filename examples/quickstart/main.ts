import { strict as assert } from 'node:assert'
import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { betterAuthToken, createClient, isApiError } from 'trpc-bearer/client'

const apiUrl = process.env.API_URL || `http://127.0.0.1:${process.env.PORT || 4000}`
const authUrl = process.env.BETTER_AUTH_URL ? new URL(process.env.BETTER_AUTH_URL).origin : apiUrl

for (const url of [`${apiUrl}/healthz`, `${authUrl}/api/auth/ok`]) {
  await fetch(url).catch(() => {
    console.error(
      `Nothing answers at ${url}. Run npm start in another terminal (and your Better Auth, if you have one). Set API_URL if the API runs elsewhere.`,
    )
    process.exit(1)
  })
}

async function signUp(name: string) {
  const cookies: string[] = []
  const auth = createAuthClient({
    baseURL: authUrl,
    plugins: [jwtClient()],
    fetchOptions: { headers: { origin: authUrl } },
  })
  const email = `${name}-${crypto.randomUUID()}@example.com`
  const keepCookies = ({ response }: { response: Response }) =>
    void cookies.push(...response.headers.getSetCookie())
  const { error } = await auth.signUp.email(
    { name, email, password: crypto.randomUUID() },
    { onSuccess: keepCookies },
  )
  if (error) throw new Error(`Sign-up at ${authUrl} failed: ${error.status} ${error.message ?? ''}`)
  // A browser would keep these cookies itself.
  const headers = { cookie: cookies.map(cookie => cookie.split(';')[0]).join('; ') }
  const getToken = betterAuthToken({ token: () => auth.token({ fetchOptions: { headers } }) })
  return createClient({ url: `${apiUrl}/trpc`, cache: true, getToken })
}

const [alice, bob] = [await signUp('alice'), await signUp('bob')]
console.log('Two people have signed up:', (await alice.me.query()).email, 'and', (await bob.me.query()).email)

const milk = await alice.tasks.create.mutate({ title: 'Buy milk', dueAt: new Date('2030-01-01') })
await bob.tasks.create.mutate({ title: 'Call mum' })
const titles = async (person: typeof alice) => (await person.tasks.list.query()).items.map(task => task.title)
console.log('Alice sees', await titles(alice), 'and Bob sees', await titles(bob))
assert.deepEqual([await titles(alice), await titles(bob)], [['Buy milk'], ['Call mum']])
assert.deepEqual((await alice.tasks.get.query({ id: milk.id })).dueAt, new Date('2030-01-01'))

const refusal = await bob.tasks.delete.mutate({ id: milk.id }).catch(error => error)
assert(isApiError(refusal) && refusal.data?.code === 'NOT_FOUND')
console.log("Bob deletes Alice's task:", refusal.data.code, '-', refusal.message)

const stranger = createClient({ url: `${apiUrl}/trpc`, getToken: () => null })
const unknown = await stranger.me.query().catch(error => error)
assert(isApiError(unknown) && unknown.data?.reason === 'missing')
console.log('A call without a token:', unknown.data.code, '-', unknown.data.reason)
console.log('All checks passed.')
