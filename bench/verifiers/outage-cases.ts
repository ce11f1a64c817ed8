import { setTimeout } from 'node:timers/promises'
import { type Answer, answers, redirectTo, startIssuer } from './controllable-issuer.js'
import type { Case } from './trial.js'

/** After this time every key set is stale. */
const stale = 660

/** A token of a known key with a stale key set, while the issuer fails and after it recovers. */
const whileAnswering = (title: string, answer: Answer): Case => ({
  title: `${title}: a token of a known key, 11 min later; accepted once the issuer is well again`,
  async run(trial) {
    const token = await trial.knownToken()
    await trial.advance(stale)
    trial.issuer.answer = answer
    const first = await trial.judge(token)
    await trial.advance(1)
    const second = await trial.judge(token)
    trial.issuer.answer = answers.keys
    const during = first === second ? first : `${first}, then ${second}`
    return `${during}; ${await trial.secondsUntil(() => trial.accepts(token))}`
  },
})

const whileDown = (title: string, time: number): Case => ({
  title: `The issuer is down for ${title}: a token of a known key`,
  async run(trial) {
    const token = await trial.knownToken()
    await trial.issuer.stop()
    await trial.advance(time)
    return trial.judge(token)
  },
})

/** Number of requests to the failing issuer. */
const perSecond = (title: string, answer: Answer): Case => ({
  title: `${title}: fetches of a minute, a token of a known key each second, from 11 min on; accepted`,
  async run(trial) {
    const token = await trial.knownToken()
    await trial.advance(stale)
    trial.issuer.answer = answer
    let accepted = 0
    const fetches = await trial.fetchesOf(async () => {
      for (let second = 0; second < 60; second++) {
        if (await trial.accepts(token)) accepted++
        await trial.advance(1)
      }
    })
    return `${fetches}; ${accepted} of 60`
  },
})

export const outageCases: Case[] = [
  whileDown('11 min', stale),
  whileDown('23 h', 23 * 3600),
  whileAnswering('`{"keys":[]}`', answers.noKeys),
  whileAnswering('An HTML page with 200', answers.page),
  whileAnswering('429 with `Retry-After: 120`', answers.tooMany),
  perSecond('429 with `Retry-After: 120`', answers.tooMany),
  whileAnswering('50 MB of JSON with the keys in it', answers.fiftyMegabytes),
  {
    title: 'A body that never ends: a token of a known key, 11 min later, and again; fetches still open',
    async run(trial) {
      const token = await trial.knownToken()
      await trial.advance(stale)
      trial.issuer.answer = answers.endless
      const first = await trial.judge(token)
      // Longer than every time limit, so that background fetches have ended before the clock moves on.
      await setTimeout(5_500)
      await trial.advance(30)
      const second = await trial.judge(token)
      await setTimeout(200)
      const verdict = first === second ? first : `${first}, then ${second}`
      return `${verdict}; ${trial.issuer.open()}`
    },
  },
  {
    title: 'A redirect to another host, which has the key: a token of that key; was the other host asked',
    async run(trial) {
      const other = await startIssuer()
      other.keys = trial.issuer.keys
      trial.issuer.answer = redirectTo(other.jwksUrl)
      const verdict = await trial.judge(trial.key.sign(trial.claims()))
      const asked = other.requests() > 0 ? 'asked' : 'not asked'
      await other.stop()
      return `${verdict}; ${asked}`
    },
  },
  {
    title:
      'Not reachable since the start: a good token; fetches of a minute, one token a second; accepted once reachable',
    async run(trial) {
      const token = trial.key.sign(trial.claims())
      trial.issuer.answer = answers.hangUp
      const verdict = await trial.judge(token)
      const fetches = await trial.fetchesOf(async () => {
        for (let second = 0; second < 60; second++) {
          await trial.advance(1)
          await trial.judge(token)
        }
      })
      trial.issuer.answer = answers.keys
      return `${verdict}; ${fetches}; ${await trial.secondsUntil(() => trial.accepts(token))}`
    },
  },
]
