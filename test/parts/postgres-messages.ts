/** A message of PostgreSQL's protocol. The first one of a client has no type byte, and is called `startup`. */
export interface Message {
  type: string
  bytes: Buffer
}

/** Returns a function that splits the bytes of one direction into messages (PostgreSQL manual, 54.7 Message Formats). */
export function messageReader({ isClient }: { isClient: boolean }) {
  let rest = Buffer.alloc(0)
  let isStarted = !isClient
  return function* (bytes: Buffer): Generator<Message> {
    rest = Buffer.concat([rest, bytes])
    for (;;) {
      const head = isStarted ? 1 : 0
      if (rest.length < head + 4) return
      const length = head + rest.readInt32BE(head)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      yield { type: isStarted ? message.toString('latin1', 0, 1) : 'startup', bytes: message }
      isStarted = true
    }
  }
}
