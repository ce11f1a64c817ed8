import { mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { type Issuer, startIssuer } from './controllable-issuer.js'
import { makeKey } from './signing-key.js'
import type { Subject } from './subjects.js'

/** A case: runs a verifier and its issuer and returns the outcome in words. */
export interface Case {
  title: string
  run(trial: Trial): Promise<string>
}

export const seconds = () => Math.floor(Date.now() / 1000)

/** A verifier with an empty cache and its own issuer with one key. */
export class Trial {
  readonly key = makeKey('first')
  readonly #verify: (token: string) => Promise<unknown>
  readonly #describe: Subject['describe']

  private constructor(
    readonly issuer: Issuer,
    { make, describe }: Subject,
  ) {
    issuer.keys = [this.key.jwk]
    this.#verify = make(issuer)
    this.#describe = describe
  }

  /** Runs one case. The clock moves only in `advance`. */
  static async run(subject: Subject, { run }: Case): Promise<string> {
    mock.timers.enable({ apis: ['Date'], now: Date.now() })
    const issuer = await startIssuer()
    try {
      return await run(new Trial(issuer, subject))
    } finally {
      await issuer.stop()
      mock.timers.reset()
    }
  }

  /** Claims of a token that is valid for two days. */
  claims(claims: Record<string, unknown> = {}): Record<string, unknown> {
    const { origin } = this.issuer
    return { iss: origin, aud: origin, sub: 'alice', iat: seconds(), exp: seconds() + 172_800, ...claims }
  }

  /** Moves the clock, and lets background work continue. */
  async advance(time: number): Promise<void> {
    mock.timers.tick(time * 1000)
    await setTimeout(2)
  }

  /** "accepted" or the error, with the duration if it was slow. */
  async judge(token: string): Promise<string> {
    const begun = performance.now()
    const verdict = await this.#verify(token).then(
      sub => (sub === 'alice' ? 'accepted' : `accepted as ${JSON.stringify(sub)}`),
      error => this.#describe(error),
    )
    const waited = (performance.now() - begun) / 1000
    return waited < 0.5 ? verdict : `${verdict} after ${waited.toFixed(1)} s`
  }

  async accepts(token: string): Promise<boolean> {
    return (await this.judge(token)) === 'accepted'
  }

  /** A token of the first key, after the verifier has fetched that key. */
  async knownToken(): Promise<string> {
    const token = this.key.sign(this.claims())
    if (!(await this.accepts(token))) throw new Error(`A good token was refused: ${await this.judge(token)}.`)
    return token
  }

  /** Number of requests to the issuer meanwhile. */
  async fetchesOf(doing: () => Promise<void>): Promise<number> {
    const before = this.issuer.requests()
    await doing()
    return this.issuer.requests() - before
  }

  /** Seconds until the condition is true, checked each second, in words. */
  async secondsUntil(holds: () => Promise<boolean>, most = 1200): Promise<string> {
    for (let passed = 0; passed <= most; passed++) {
      if (await holds()) return passed === 0 ? 'at once' : `after ${passed} s`
      await this.advance(1)
    }
    return `not within ${most / 60} min`
  }
}
