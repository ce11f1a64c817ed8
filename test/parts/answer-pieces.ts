import pg from 'pg'
import { onTestFinished, vi } from 'vitest'

/**
 * Watches every connection that is opened, so that a test can do something at any moment of a statement: after so many pieces
 * of the server's answers, and so many turns of the microtask queue behind that.
 */
export function watchAnswerPieces() {
  const waiting = new Set<() => void>()
  let pieces = 0
  const { connect } = pg.Client.prototype
  const spy = vi.spyOn(pg.Client.prototype, 'connect').mockImplementation(function (
    this: pg.Client,
    ...args: Parameters<typeof connect>
  ) {
    const connecting: unknown = Reflect.apply(connect, this, args)
    const { stream } = Reflect.get(this, 'connection')
    // Behind pg's own listener: what the piece says has been handled then, and no microtask has run yet.
    stream.on('data', () => {
      pieces++
      for (const wake of waiting) wake()
    })
    return connecting
  } as typeof connect)
  onTestFinished(() => spy.mockRestore())
  return {
    get pieces() {
      return pieces
    },
    /** Resolves after so many pieces from now, or after `patience` milliseconds where so many do not come. */
    async after(count: number, turns: number, patience = 100) {
      const until = pieces + count
      if (count > 0) {
        await new Promise<void>(done => {
          const end = () => {
            waiting.delete(look)
            clearTimeout(late)
            done()
          }
          const look = () => {
            if (pieces >= until) end()
          }
          const late = setTimeout(end, patience)
          waiting.add(look)
        })
      }
      for (let turn = 0; turn < turns; turn++) await null
    },
  }
}
