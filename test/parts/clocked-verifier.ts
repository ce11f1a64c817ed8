import {
  createVerifier,
  type IssuerOptions,
  type TokenError,
  type VerifierOptions,
} from '../../server/verifier/index.js'
import { createClock } from './clock.js'
import { claimsFrom, type Key, makeKey } from './issuer.js'

export const here = 'https://auth.example.com'
export const keySet = (...keys: Key[]) => Response.json({ keys: keys.map(({ jwk }) => jwk) })
export const [key, other] = await Promise.all([makeKey(), makeKey()])

/** A verifier on a clock that only the test moves, whose `fetch` answers in the issuer's place. */
export function startClockedVerifier(options: Partial<VerifierOptions & IssuerOptions> = {}) {
  const clock = createClock()
  const state = Object.assign(clock, {
    requests: 0,
    problems: [] as string[],
    answer: async (_url: string): Promise<Response> => keySet(key),
  })
  const background: Promise<void>[] = []
  const verifier = createVerifier({
    issuer: here,
    audience: here,
    now: clock.now,
    onProblem: problem => void state.problems.push(problem),
    waitUntil: refresh => void background.push(refresh),
    async fetch(url) {
      state.requests++
      return state.answer(String(url))
    },
    ...options,
  })
  const sign = (by: Key, header = {}) =>
    by.sign(claimsFrom(here, { iat: 0, exp: clock.start + 1_000_000 }), header)
  return { state, verifier, sign, outcome: outcomeOf(verifier), settle: () => Promise.all(background) }
}

/** What becomes of a token: `accepted`, or the reason of the refusal. */
export const outcomeOf = (verifier: Pick<ReturnType<typeof createVerifier>, 'verify'>) => (token: string) =>
  verifier.verify(token).then(
    () => 'accepted',
    (error: TokenError) => error.reason,
  )

export const away = async () => new Response(null, { status: 500 })
export const never = () => new Promise<Response>(() => {})
