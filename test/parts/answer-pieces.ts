import pg from 'pg'
import { onTestFinished, vi } from 'vitest'

/**
 * Counts the pieces of the server's answers on every new connection. A test can then act at any moment of a statement: after
 * a number of pieces, and a number of microtask turns after that.
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
    // After pg's own listener: pg has handled the piece, and no microtask has run yet.
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
    /** Resolves after `count` more pieces and `turns` microtask turns, or after `timeout` milliseconds if fewer pieces come. */
    async after(count: number, turns: number, timeout = 100) {
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
          const late = setTimeout(end, timeout)
          waiting.add(look)
        })
      }
      for (let turn = 0; turn < turns; turn++) await null
    },
  }
}
