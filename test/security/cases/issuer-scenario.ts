import type { ServerResponse } from 'node:http'
import { expect } from 'vitest'
import {
  createVerifier,
  type IssuerOptions,
  type TokenError,
  type VerifierOptions,
} from '../../../server/verifier/index.js'
import { createClock } from '../../parts/clock.js'
import { claimsFrom, type Key, makeKey, startIssuer } from '../../parts/issuer.js'

/** Makes the verifier: as it is, or with a rule taken away. */
export type Make = typeof createVerifier

/** Sentences about the verifier, each with the check that it holds. */
export type Cases = Record<string, (make: Make) => Promise<void>>

/** Answers in the issuer's place; `keys` is what it would have said. */
export type Answer = (response: ServerResponse, keys: string) => unknown

/**
 * An issuer on a real socket that does as it is told, a verifier on a clock that stands still until it is moved, and callers
 * whose key is known.
 */
export async function startScenario(
  make: Make = createVerifier,
  options: Partial<IssuerOptions & VerifierOptions> = {},
) {
  const key = await makeKey()
  const answerWell: Answer = (response, keys) => response.end(keys)
  const clock = createClock()
  const state = Object.assign(clock, { keys: [key.jwk] as unknown[], answer: answerWell })
  const problems: { text: string; error: unknown }[] = []
  /** Times on the clock at which the issuer was asked. */
  const asked: number[] = []
  const issuer = await startIssuer({
    mode(response) {
      asked.push(clock.at)
      state.answer(response, JSON.stringify({ keys: state.keys }))
    },
  })
  const { url } = issuer
  const background = new Set<Promise<void>>()
  const verifier = make({
    issuer: url,
    audience: url,
    now: clock.now,
    waitUntil: refresh => void background.add(refresh.finally(() => background.delete(refresh))),
    onProblem: (text, error) => void problems.push({ text, error }),
    ...options,
  })
  const sign = (by: Key, header = {}) =>
    by.sign(claimsFrom(url, { iat: clock.start, exp: clock.start + 40 * 86_400 }), header)
  const oldToken = await sign(key)

  const outcome = (token: string) =>
    verifier.verify(token).then(
      () => 'accepted',
      ({ reason, retryAfter = 0 }: TokenError) => {
        // Whoever is sent away for our sake is told when to come back.
        if (reason === 'keys_unavailable') expect(retryAfter).toBeGreaterThanOrEqual(1)
        return reason
      },
    )

  const served: Record<string, number> = {}
  /** Callers with a known key: with the token that they have had all the time, and with a new one. */
  async function call() {
    for (const token of [oldToken, await sign(key, { cty: String(state.at) })]) {
      const how = await outcome(token)
      served[how] = (served[how] ?? 0) + 1
    }
  }

  /** Waits for what the verifier does in the background. */
  const settle = () => Promise.all(background)

  return {
    key,
    state,
    problems,
    asked,
    verifier,
    now: clock.now,
    sign,
    outcome,
    call,
    settle,
    answerWell,
    url,
    /** A token that names a key which nobody has. It costs no signature. */
    invented: () => oldToken.replace(/^[^.]*/, encode({ alg: 'EdDSA', kid: crypto.randomUUID() })),
    /** Lets the clock go on to a second, while callers with a known key come in. */
    async pass(until: number, step = 60) {
      while (state.at < until) {
        state.at = Math.min(until, state.at + step)
        await call()
        await settle()
      }
    },
    /** Nobody listens on its port from now on. */
    stop: issuer.close,
    startAgain: issuer.open,
    /** Of all callers with a known key, in the whole scene, not one was refused. */
    expectAllServed() {
      expect(Object.keys(served)).toEqual(['accepted'])
    },
    [Symbol.asyncDispose]: issuer.close,
  }
}

export const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The names of the cases of a table, with their checks. */
export function casesOf<Row>(
  rows: Record<string, Row>,
  check: (row: Row) => Cases[string],
  name = (row: string) => row,
): Cases {
  return Object.fromEntries(Object.entries(rows).map(([row, value]) => [name(row), check(value)]))
}
