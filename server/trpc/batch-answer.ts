import { TRPCError } from '@trpc/server'

/** What the queries of a batch may return together: texts and names count by the bytes of their JSON, other values as 8. */
const maxSize = 10_000_000

/** The answers of one batch. */
export interface BatchAnswer {
  size: number
  /** Guards behind each other get the same result of a call. */
  counted: WeakSet<object>
}

export const emptyBatchAnswer = (): BatchAnswer => ({ size: 0, counted: new WeakSet() })

/**
 * Counts the answer of a query in a batch. A batch is answered as one text, and while that is written nobody else is served. The first
 * answer may have any size, and a mutation is not counted, because it has run already.
 *
 * @throws TRPCError PAYLOAD_TOO_LARGE if the answers are too large together
 */
export function countAnswer(batch: BatchAnswer, result: { data: unknown }): void {
  if (batch.counted.has(result)) return
  batch.counted.add(result)
  const isFirst = batch.size === 0
  batch.size += sizeOf(result.data)
  if (isFirst || batch.size <= maxSize) return
  throw new TRPCError({
    code: 'PAYLOAD_TOO_LARGE',
    message: 'The answers of this batch are too large together. Send this call alone, or ask for less.',
  })
}

/** Stops above the limit, so circular values end too. */
function sizeOf(data: unknown): number {
  let size = 0
  const rest: unknown[] = [data]
  while (rest.length > 0 && size <= maxSize) {
    const value = rest.pop()
    if (typeof value === 'string') size += jsonBytes(value)
    else if (typeof value !== 'object' || value === null) size += 8
    else if (ArrayBuffer.isView(value)) size += value.byteLength
    else {
      size += Array.isArray(value) ? 8 : jsonBytes(Object.keys(value).join()) + 8
      const values =
        value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value)
      for (const one of values) rest.push(one)
    }
  }
  return size
}

/** At least the bytes of a text in JSON, in UTF-8: a control character has six. */
function jsonBytes(text: string): number {
  let bytes = text.length
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code < 0x20) bytes += 5
    else if (code === 0x22 || code === 0x5c) bytes += 1
    else if (code > 0x7f) bytes += 2
  }
  return bytes
}
