import { claimsOf, type GetToken, lifeOf } from '../../token-keeper.js'
import { createStore } from '../store.js'

/** What the panel shows of a token. The token itself is never kept here. */
export interface SeenToken {
  claims: Record<string, unknown>
  /** When the page received it, in milliseconds since the page was opened. */
  receivedAt: number
  /** From `iat` to `exp`, in milliseconds. */
  life: number
}

/**
 * Watches the tokens that a client fetches. `getToken` goes into the client.
 *
 * @param getExpired an expired token of the same user, to show what the client does with it
 */
export function createTokenWatch(getToken: GetToken, getExpired: () => Promise<string>) {
  const seen = createStore<SeenToken | null>(null)
  let report: ((userId: string | null | undefined) => void) | undefined
  let userId: string | null | undefined
  let isNextExpired = false
  // What was asked for by a former user is not shown to the next one.
  let generation = 0
  const watched: GetToken = Object.assign(
    async () => {
      const startedIn = generation
      const token = await (isNextExpired ? getExpired : getToken)()
      isNextExpired = false
      if (startedIn === generation) seen.set(token ? seenToken(token) : null)
      return token
    },
    {
      subscribe(listen: (userId: string | null | undefined) => void) {
        report = listen
        const stop = getToken.subscribe?.(id => {
          userId = id
          listen(id)
        })
        return () => stop?.()
      },
    },
  )
  /** The same session reported again: the client forgets its token, and fetches one with the next call. */
  const renew = () => report?.(userId)
  return {
    getToken: watched,
    seen,
    renew,
    clear() {
      generation++
      seen.set(null)
    },
    expire() {
      isNextExpired = true
      renew()
    },
  }
}

function seenToken(token: string): SeenToken {
  const claims = claimsOf(token)
  return { claims, receivedAt: performance.now(), life: lifeOf(claims) }
}
