import { createStore } from '../store.js'

/** A request to the API, as the panel shows it. */
export interface LoggedCall {
  id: number
  /** Such as `tasks.list`, or several if they went in one batch. */
  procedures: string
  /** HTTP status; null while it runs, 0 if there was no answer. */
  status: number | null
  /** `data.reason` of a refusal. */
  reason: string | undefined
  ms: number
}

const kept = 12

/** Records the last requests: `fetch` goes into the client, and `calls` into the panel. */
export function createCallLog() {
  const calls = createStore<readonly LoggedCall[]>([])
  let last = 0
  // What a former user has started and what ends later is not shown to the next one.
  let generation = 0
  const record = (call: LoggedCall) => {
    const others = calls.get().filter(({ id }) => id !== call.id)
    calls.set([call, ...others].toSorted((a, b) => b.id - a.id).slice(0, kept))
  }
  const loggedFetch: typeof fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input, location.href)
    const procedures = decodeURIComponent(url.pathname.replace('/trpc/', '')).replaceAll(',', ', ')
    const [id, started, startedIn] = [++last, performance.now(), generation]
    const entry = { id, procedures, status: null, reason: undefined, ms: 0 }
    record(entry)
    const finish = (status: number, reason?: string) => {
      if (startedIn === generation) record({ ...entry, status, reason, ms: performance.now() - started })
    }
    try {
      const response = await fetch(input, init)
      finish(response.status, response.ok ? undefined : await reasonOf(response.clone()))
      return response
    } catch (error) {
      finish(0)
      throw error
    }
  }
  const clear = () => {
    generation++
    calls.set([])
  }
  return { calls, fetch: loggedFetch, clear }
}

async function reasonOf(response: Response): Promise<string | undefined> {
  const text = await response.text().catch(() => '')
  return /"reason":"(\w+)"/.exec(text)?.[1] ?? /"code":"(\w+)"/.exec(text)?.[1]
}
