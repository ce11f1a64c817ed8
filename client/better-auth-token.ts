/** The answer of `authClient.token()` (Better Auth's `jwtClient` plugin). */
interface TokenAnswer {
  data: { token: string } | null
  error: { status: number; statusText: string } | null
}

/**
 * The `getToken` for Better Auth. It returns null if there is no session (401), and throws if the server does not answer or
 * sends anything else, so that an outage is not a sign-out.
 *
 * @example
 * createClient({ url, getToken: betterAuthToken(() => authClient.token()) })
 */
export function betterAuthToken(ask: () => Promise<TokenAnswer>): () => Promise<string | null> {
  return async () => {
    const { data, error } = await ask()
    // A proxy may answer 200 with a page of its own, whatever the types say.
    const token: unknown = data?.token
    if (typeof token === 'string' && token !== '') return token
    if (error?.status === 401) return null
    const answer = error ? `${error.status} ${error.statusText}` : 'an answer without a token'
    throw new Error(
      `Better Auth returned no token (${answer}). Check that its server runs and has the jwt plugin, and that no proxy answers in its place.`,
    )
  }
}
