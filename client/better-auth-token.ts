import type { GetToken } from './token-keeper.js'

/** The answer of `authClient.token()` (Better Auth's `jwtClient` plugin). */
interface TokenAnswer {
  data: { token: string } | null
  error: { status: number; statusText: string } | null
}

/** What is used of Better Auth's client. */
interface AuthClient {
  /** Resolves to a {@link TokenAnswer}. Its type depends on the options of Better Auth's client, and on `strict` of TypeScript. */
  token: (...none: never[]) => Promise<unknown>
  $store?: { atoms: Record<string, SessionAtom | undefined> } | undefined
}

/** The nanostores atom behind `useSession`. Better Auth keeps it the same in all tabs. */
interface SessionAtom {
  subscribe(listen: (value: unknown) => void): () => void
  /** Like `subscribe`, without the present value. */
  listen?(listen: () => void): () => void
  get?(): unknown
}

/**
 * The `getToken` for Better Auth. It returns null if there is no session (401), and throws if the server does not answer or
 * sends anything else, so that an outage is not a sign-out. It watches the client's session: if somebody signs out or in, in any tab, the
 * former user's token is forgotten.
 *
 * @param authClient Better Auth's client with the plugin `jwtClient`, or an object with its own `token`
 * @example
 * createClient({ url, getToken: betterAuthToken(authClient) })
 */
export function betterAuthToken(authClient: AuthClient): GetToken & (() => Promise<string | null>) {
  const getToken = async () => {
    const { data, error } = { ...((await authClient.token()) as Partial<TokenAnswer> | null) }
    // A proxy may answer 200 with a page of its own, whatever the types say.
    const token: unknown = data?.token
    if (typeof token === 'string' && token !== '') return token
    if (error?.status === 401) return null
    const found = error
      ? `${error.status} ${error.statusText}`
      : `an answer with ${kindOf(data)} and no token`
    throw new Error(
      `Better Auth returned no token (${found}). Check that its server runs and has the jwt plugin, and that no proxy answers in its place.`,
    )
  }
  const session = authClient.$store?.atoms.session
  if (session === undefined) return getToken
  return Object.assign(getToken, {
    subscribe(report: (userId: string | null | undefined) => void) {
      let last: unknown
      const stopSignal = onSessionChange(authClient.$store?.atoms.$sessionSignal, () => report(undefined))
      const stopSession = session.subscribe(value => {
        const { data, error, isPending } = { data: null, error: null, isPending: false, ...Object(value) }
        const isUnknown = isPending || (error !== null && error.status !== 401)
        // Null again may follow a sign-in of another tab, of which Better Auth does not tell.
        if (isUnknown || (data === last && data !== null)) return
        last = data
        report(data?.user?.id ?? null)
      })
      return () => {
        stopSignal()
        stopSession()
      }
    },
  })
}

/** What was answered in place of a token, without its values. */
const kindOf = (data: unknown) =>
  typeof data === 'object' && data !== null
    ? 'an object'
    : data === null || data === undefined
      ? 'no data'
      : `a ${typeof data}`

/**
 * Calls `listen` when the session has changed. Better Auth reads its signal before a sign-in resolves, and changes it 10 ms later: what the
 * page calls after the sign-in must not wait for that.
 */
function onSessionChange(signal: SessionAtom | undefined, listen: () => void): () => void {
  if (signal === undefined) return () => {}
  const { get } = signal
  let isAnnounced = false
  if (get !== undefined)
    signal.get = () => {
      isAnnounced = true
      listen()
      return get.call(signal)
    }
  const stop = signal.listen?.(() => {
    if (!isAnnounced) listen()
    isAnnounced = false
  })
  return () => {
    if (get !== undefined) signal.get = get
    stop?.()
  }
}
