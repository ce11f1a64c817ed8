import { startIssuer } from './controllable-issuer.js'
import { hmacToken, makeKey, unsignedToken } from './signing-key.js'
import { type Case, seconds, type Trial } from './trial.js'

/** A token checked while the issuer is healthy. */
const token = (title: string, make: (trial: Trial) => string): Case => ({
  title,
  run: trial => trial.judge(make(trial)),
})

export const tokenCases: Case[] = [
  token('`alg: none`', trial => unsignedToken(trial.claims(), 'first')),
  token('HS256, its secret the public key', trial => hmacToken(trial.claims(), trial.key.jwk)),
  token('`crit: ["b64"], b64: true`', trial => trial.key.sign(trial.claims(), { crit: ['b64'], b64: true })),
  token('`b64: false` without `crit`', trial => trial.key.sign(trial.claims(), { b64: false })),
  token('`crit` with an unknown name', trial => trial.key.sign(trial.claims(), { crit: ['x'], x: 1 })),
  token('Signed with a key in its own `jwk` header', trial => {
    const forger = makeKey('first')
    return forger.sign(trial.claims(), { jwk: forger.jwk })
  }),
  {
    title: 'Signed with a key behind its own `jku`; was that URL asked',
    async run(trial) {
      const forger = makeKey('forger')
      const other = await startIssuer()
      other.keys = [forger.jwk]
      const verdict = await trial.judge(forger.sign(trial.claims(), { jku: other.jwksUrl }))
      const asked = other.requests() > 0 ? 'asked' : 'not asked'
      await other.stop()
      return `${verdict}; ${asked}`
    },
  },
  token('No `kid`, one key', trial => trial.key.sign(trial.claims(), { kid: undefined })),
  token('No `kid`, two keys', trial => {
    trial.issuer.keys.push(makeKey('second').jwk)
    return trial.key.sign(trial.claims(), { kid: undefined })
  }),
  token('`typ: at+jwt`', trial => trial.key.sign(trial.claims(), { typ: 'at+jwt' })),
  token('`typ: logout+jwt`', trial => trial.key.sign(trial.claims(), { typ: 'logout+jwt' })),
  token('No `exp`', trial => trial.key.sign(trial.claims({ exp: undefined }))),
  token('`exp: 1e999`', trial =>
    trial.key.sign(JSON.stringify(trial.claims({ exp: 0 })).replace('"exp":0', '"exp":1e999')),
  ),
  token('Expired 3 s ago', trial => trial.key.sign(trial.claims({ exp: seconds() - 3 }))),
  token('`iat` an hour ahead', trial => trial.key.sign(trial.claims({ iat: seconds() + 3600 }))),
  token('No `sub`', trial => trial.key.sign(trial.claims({ sub: undefined }))),
  token('`{"sub":"alice", …, "sub":"bob"}`', trial =>
    trial.key.sign(JSON.stringify(trial.claims()).replace(/}$/, ',"sub":"bob"}')),
  ),
  token('`aud`: a list with ours in it', trial =>
    trial.key.sign(trial.claims({ aud: ['https://other.example', trial.issuer.origin] })),
  ),
  token('A token of 100 kB', trial => trial.key.sign(trial.claims({ padding: 'x'.repeat(75_000) }))),
]
