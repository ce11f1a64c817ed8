import type { Duplex } from 'node:stream'

/** Bytes of one answer. V8 has no text above 512 MB: pg's parser would throw outside any statement, which ends the process. */
const maxAnswer = 256 * 1_048_576

interface Count {
  bytes: number
  /** Called once, when the answer is too large. Undefined while no statement is answered. */
  refuse: (() => void) | undefined
}

const counts = new WeakMap<Duplex, Count>()

/**
 * Counts the bytes that arrive on a connection from now on.
 *
 * @param refuse must destroy the connection
 * @returns a function that ends the counting
 */
export function limitAnswer(stream: Duplex, refuse: () => void): () => void {
  const count = counts.get(stream) ?? watch(stream)
  Object.assign(count, { bytes: 0, refuse })
  return () => {
    count.refuse = undefined
  }
}

/** Before pg's own listener, which would read on. */
function watch(stream: Duplex): Count {
  const count: Count = { bytes: 0, refuse: undefined }
  stream.prependListener('data', (chunk: Uint8Array) => {
    const { refuse } = count
    count.bytes += chunk.length
    if (refuse === undefined || count.bytes <= maxAnswer) return
    count.refuse = undefined
    refuse()
  })
  counts.set(stream, count)
  return count
}
