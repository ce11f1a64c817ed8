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

/** `createVerifier`, or a mutant of it. */
export type Make = typeof createVerifier

/** Named checks of a verifier. */
export type Cases = Record<string, (make: Make) => Promise<void>>

/** Answers in the issuer's place. `keys` is its usual answer. */
export type Answer = (response: ServerResponse, keys: string) => unknown

/** An issuer, a verifier on a clock that only the test moves, and callers whose key is known. */
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
        // An outage must say when to try again.
        if (reason === 'keys_unavailable') expect(retryAfter).toBeGreaterThanOrEqual(1)
        return reason
      },
    )

  const served: Record<string, number> = {}
  /** Verifies two tokens with a known key: an old one and a new one. */
  async function call() {
    for (const token of [oldToken, await sign(key, { cty: String(state.at) })]) {
      const how = await outcome(token)
      served[how] = (served[how] ?? 0) + 1
    }
  }

  /** Waits for background refreshes. */
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
    /** A token with an invented kid. */
    invented: () => oldToken.replace(/^[^.]*/, encode({ alg: 'EdDSA', kid: crypto.randomUUID() })),
    /** Moves the clock to a second, in steps, with calls of known keys at each step. */
    async pass(until: number, step = 60) {
      while (state.at < until) {
        state.at = Math.min(until, state.at + step)
        await call()
        await settle()
      }
    },
    /** Closes the port of the issuer. */
    stop: issuer.close,
    startAgain: issuer.open,
    /** Checks that no caller with a known key was refused in the whole scenario. */
    expectAllServed() {
      expect(Object.keys(served)).toEqual(['accepted'])
    },
    [Symbol.asyncDispose]: issuer.close,
  }
}

export const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Turns the rows of a table into named checks. */
export function casesOf<Row>(
  rows: Record<string, Row>,
  check: (row: Row) => Cases[string],
  name = (row: string) => row,
): Cases {
  return Object.fromEntries(Object.entries(rows).map(([row, value]) => [name(row), check(value)]))
}
