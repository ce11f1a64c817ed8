import { onlineManager, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { useTRPC } from '../api.js'
import type { Person } from '../person.js'
import { useStore } from '../store.js'
import type { LoggedCall } from './call-log.js'
import type { SeenToken } from './token-watch.js'

/** What happens behind the list: the token, the database, and the calls. */
export function HowItWorks({ person }: { person: Person }) {
  const { tokens, calls } = person
  const ofGuest = person.isGuest ? ' for the guest' : ''
  const token = useStore(tokens.seen)
  const me = useQuery(useTRPC().me.queryOptions())
  const [said, setSaid] = useState('')
  const show = async (call: () => Promise<string>) => {
    if (!onlineManager.isOnline()) return setSaid('You are offline, so nothing was sent.')
    setSaid(await call().catch(() => 'The API did not answer.'))
  }
  const callAgain = () => me.refetch({ throwOnError: true })
  return (
    <aside className="panel" aria-label={`How it works${ofGuest}`}>
      <h2>How it works</h2>
      <section>
        <h3>The token says who you are</h3>
        {token && <Countdown token={token} />}
        <Claims token={token} />
        <div className="buttons">
          <button
            type="button"
            onClick={() =>
              show(async () => {
                tokens.expire()
                await callAgain()
                return 'An expired token was sent. The client saw the 401, got a new one and called again.'
              })
            }
          >
            Let it expire
          </button>
          <button
            type="button"
            onClick={() =>
              show(async () => {
                tokens.renew()
                await callAgain()
                return 'The client got a new token, and called “me” with it.'
              })
            }
          >
            Refresh it
          </button>
          <button
            type="button"
            onClick={() =>
              show(async () => {
                const { status } = await calls.fetch('/trpc/me')
                return `“me” was called without a token. The API answered ${status}.`
              })
            }
          >
            Call without it
          </button>
        </div>
        <p role="status" className="hint said">
          {said}
        </p>
      </section>
      <section>
        <h3>The last calls</h3>
        <Calls calls={useStore(calls.calls)} label={`The last calls${ofGuest}`} />
      </section>
      <Database />
    </aside>
  )
}

function Countdown({ token: { receivedAt, life } }: { token: SeenToken }) {
  const now = useNow()
  const left = Math.max(0, Math.round((receivedAt + life - now) / 1_000))
  const text = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`
  return (
    <p className="countdown">
      {left > 0 ? (
        <span>
          expires in <b role="timer">{text}</b>
        </span>
      ) : (
        <b>expired</b>
      )}
      <meter aria-label="Life of the token that is left" min={0} max={life / 1_000} value={left} />
    </p>
  )
}

function useNow(): number {
  const [now, setNow] = useState(() => performance.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  return now
}

/** Only what the token says: anybody who has the token itself could use it. */
function Claims({ token }: { token: SeenToken | null }) {
  if (token === null) return <p className="hint">No token yet.</p>
  const all = Object.entries(token.claims)
  const registered = registeredClaims.flatMap(name => all.filter(([claim]) => claim === name))
  return (
    <>
      <Facts facts={registered} />
      <details>
        <summary>{all.length - registered.length} more claims</summary>
        <Facts facts={all.filter(([name]) => !registeredClaims.includes(name))} />
      </details>
    </>
  )
}

const Facts = ({ facts }: { facts: [name: string, value: unknown][] }) => (
  <dl className="facts">
    {facts.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{factText(name, value)}</dd>
      </div>
    ))}
  </dl>
)

/** RFC 7519 section 4.1. */
const registeredClaims = ['iss', 'sub', 'aud', 'iat', 'nbf', 'exp', 'jti']
const timeClaims = new Set(['iat', 'exp', 'nbf'])
const factText = (name: string, value: unknown) =>
  timeClaims.has(name) && typeof value === 'number'
    ? new Date(value * 1_000).toLocaleTimeString()
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)

/** Of the isolation. */
async function fetchLevel(): Promise<string> {
  const { fence = 'not known' } = await (await fetch('/readyz')).json()
  return fence
}

function Database() {
  const trpc = useTRPC()
  const { data } = useQuery(trpc.identity.queryOptions())
  const { data: level } = useQuery({ queryKey: ['level'], queryFn: fetchLevel, retry: false })
  return (
    <section>
      <h3>The database says what you see</h3>
      {data ? (
        <Facts
          facts={[
            ['current_user', data.role],
            ['trpc_bearer.user_id()', data.userId],
            ['level', level ?? '…'],
          ]}
        />
      ) : (
        <p className="hint">Not known yet.</p>
      )}
      <p className="hint">
        Every statement runs in its own transaction with this identity. A policy of the table compares it with
        the owner of each row, so a query without a WHERE still returns your rows only.
      </p>
    </section>
  )
}

function Calls({ calls, label }: { calls: readonly LoggedCall[]; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <section className="calls" tabIndex={0} aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">procedure</th>
            <th scope="col">status</th>
            <th scope="col">ms</th>
          </tr>
        </thead>
        <tbody>
          {calls.map(({ id, procedures, status, reason, ms }) => (
            <tr key={id} className={status !== null && status !== 200 ? 'failed' : undefined}>
              <td>{procedures}</td>
              <td>
                {status === null ? '…' : status || 'no answer'} {reason}
              </td>
              <td>{status === null ? '' : Math.round(ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
