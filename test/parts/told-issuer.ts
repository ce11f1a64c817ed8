import {
  createVerifier,
  type IssuerOptions,
  type TokenError,
  type VerifierOptions,
} from '../../server/verifier/index.js'
import { claimsFrom, type Key, makeKey } from './keys.js'

export const here = 'https://auth.example.com'
export const keySet = (...keys: Key[]) => Response.json({ keys: keys.map(({ jwk }) => jwk) })
export const [key, other] = await Promise.all([makeKey(), makeKey()])

/** A verifier on a clock that stands still, and an issuer that answers as it is told to. */
export function startTold(options: Partial<VerifierOptions & IssuerOptions> = {}) {
  const state = {
    /** Seconds since it was started. */
    at: 0,
    requests: 0,
    problems: [] as string[],
    answer: async (_url: string): Promise<Response> => keySet(key),
  }
  const began = Math.floor(Date.now() / 1000)
  const background: Promise<void>[] = []
  const verifier = createVerifier({
    issuer: here,
    audience: here,
    now: () => (began + state.at) * 1000,
    onProblem: problem => void state.problems.push(problem),
    waitUntil: refresh => void background.push(refresh),
    async fetch(url) {
      state.requests++
      return state.answer(String(url))
    },
    ...options,
  })
  const sign = (by: Key, header = {}) => by.sign(claimsFrom(here, { iat: 0, exp: began + 1_000_000 }), header)
  const outcome = (token: string) =>
    verifier.verify(token).then(
      () => 'accepted',
      (error: TokenError) => error.reason,
    )
  /** Waits for what the verifier does in the background. */
  const settle = () => Promise.all(background)
  return { state, verifier, sign, outcome, settle }
}

export const away = async () => new Response(null, { status: 500 })
export const never = () => new Promise<Response>(() => {})
