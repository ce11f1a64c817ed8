/** The answer of `authClient.token()` (Better Auth's `jwtClient` plugin). */
interface TokenAnswer {
  data: { token: string } | null
  error: { status: number; statusText: string } | null
}

/**
 * The `getToken` for Better Auth. It returns null if there is no session (401), and throws if the server does not answer, so
 * that an outage is not a sign-out.
 *
 * @example
 * createClient({ url, getToken: betterAuthToken(() => authClient.token()) })
 */
export function betterAuthToken(ask: () => Promise<TokenAnswer>): () => Promise<string | null> {
  return async () => {
    const { data, error } = await ask()
    if (data) return data.token
    if (error === null || error.status === 401) return null
    throw new Error(
      `Better Auth returned no token (${error.status} ${error.statusText}). Check that its server runs and has the jwt plugin.`,
    )
  }
}
