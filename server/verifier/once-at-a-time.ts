import { LRUCache } from 'lru-cache'
import { inTime, LateError } from './in-time.js'

/** How long the work of another request is waited for, in milliseconds. */
const lostAfter = 5_000
/** How much work is known at once: the oldest falls out, as some runtimes end work without a word. */
const maxUnderWay = 1_000

/** Work that is done once for all who ask for the same while it is under way. Nothing is remembered of it then. */
export function onceAtATime<T>(work: (token: string) => Promise<T>): (token: string) => Promise<T> {
  const underWay = new LRUCache<string, Promise<T>>({ max: maxUnderWay })
  return async token => {
    const other = underWay.get(token)
    const joined = other && (await inTime(lostAfter, other).catch(unlessLate))
    if (joined !== undefined) return joined
    const own = work(token).finally(() => {
      if (underWay.peek(token) === own) underWay.delete(token)
    })
    underWay.set(token, own)
    return own
  }
}

function unlessLate(error: unknown): undefined {
  if (!(error instanceof LateError)) throw error
}
