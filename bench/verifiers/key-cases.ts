import { answers } from './controllable-issuer.js'
import { makeKey } from './signing-key.js'
import type { Case, Trial } from './trial.js'

/** A thousand tokens with unknown kids in one minute. */
async function flood(trial: Trial): Promise<string> {
  const known = await trial.knownToken()
  const stranger = makeKey('stranger')
  const verdicts = new Set<string>()
  await trial.advance(31)
  const fetches = await trial.fetchesOf(async () => {
    for (let index = 0; index < 1000; index++) {
      verdicts.add(await trial.judge(stranger.sign(trial.claims(), { kid: `invented-${index}` })))
      await trial.advance(0.06)
    }
  })
  return `${fetches}; ${[...verdicts].join(', ')}; ${await trial.judge(known)}`
}

export const keyCases: Case[] = [
  { title: 'A thousand invented `kid`s in a minute: fetches; verdicts; a known key', run: flood },
  {
    title: 'A thousand invented `kid`s in a minute, the issuer answers 503: fetches; verdicts; a known key',
    run(trial) {
      const { keys } = answers
      // Healthy for the first fetch only.
      trial.issuer.answer = (res, known) => {
        trial.issuer.answer = answers.unavailable
        keys(res, known)
      }
      return flood(trial)
    },
  },
  {
    title: 'A key minted just after an invented `kid` was asked for: its first token is accepted',
    async run(trial) {
      await trial.knownToken()
      await trial.advance(31)
      await trial.judge(makeKey('invented').sign(trial.claims()))
      const second = makeKey('second')
      trial.issuer.keys.push(second.jwk)
      return trial.secondsUntil(() => trial.accepts(second.sign(trial.claims())))
    },
  },
  {
    title: 'A key removed from the set, with a request of another key each second: its token is refused',
    async run(trial) {
      const second = makeKey('second')
      trial.issuer.keys.push(second.jwk)
      const removed = await trial.knownToken()
      const current = second.sign(trial.claims())
      trial.issuer.keys.shift()
      return trial.secondsUntil(async () => (await trial.accepts(current)) && !(await trial.accepts(removed)))
    },
  },
  {
    title: 'A key replaced under the same `kid`: the new one is accepted; the old one is refused',
    async run(trial) {
      const old = await trial.knownToken()
      await trial.advance(31)
      const fresh = makeKey('first')
      trial.issuer.keys = [fresh.jwk]
      const token = fresh.sign(trial.claims())
      const accepted = await trial.secondsUntil(() => trial.accepts(token))
      return `${accepted}; from then ${await trial.secondsUntil(async () => !(await trial.accepts(old)))}`
    },
  },
  {
    title: 'The signing key is published with its private part',
    run(trial) {
      trial.issuer.keys = [trial.key.privateJwk]
      return trial.judge(trial.key.sign(trial.claims()))
    },
  },
  {
    title: 'Another key is published with its private part: a token of the good key',
    run(trial) {
      trial.issuer.keys.push(makeKey('private').privateJwk)
      return trial.judge(trial.key.sign(trial.claims()))
    },
  },
  {
    title: 'An RSA key of 1,024 bits',
    run(trial) {
      const weak = makeKey('weak', 'RS256', 1024)
      trial.issuer.keys.push(weak.jwk)
      return trial.judge(weak.sign(trial.claims()))
    },
  },
  {
    title: 'A key for RS256, a PS256 token signed with it',
    run(trial) {
      const key = makeKey('rsa', 'RS256')
      trial.issuer.keys.push(key.jwk)
      return trial.judge(key.sign(trial.claims(), {}, 'PS256'))
    },
  },
  {
    title: 'A key without `alg` that signs RS256, a PS256 token signed with it',
    run(trial) {
      const key = makeKey('rsa', 'RS256')
      const { alg, ...jwk } = key.jwk
      trial.issuer.keys.push(jwk)
      return trial.judge(key.sign(trial.claims(), {}, 'PS256'))
    },
  },
]
