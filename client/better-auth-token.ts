/** What `authClient.token()` of Better Auth's `jwtClient` plugin answers. */
interface TokenAnswer {
  data: { token: string } | null
  error: { status: number; statusText: string } | null
}

/**
 * The `getToken` of somebody who is signed in at a Better Auth server: null when there is no session (401), and an error,
 * not a sign-out, when the server cannot be asked.
 *
 * @example
 * createClient({ url, getToken: betterAuthToken(() => authClient.token()) })
 */
export function betterAuthToken(ask: () => Promise<TokenAnswer>): () => Promise<string | null> {
  return async () => {
    const { data, error } = await ask()
    if (data) return data.token
    if (error === null || error.status === 401) return null
    throw new Error(`No token from Better Auth: ${error.status} ${error.statusText}`)
  }
}
