import { deserialize, type SuperJSONResult, serialize } from 'superjson'
import { boundedDeserialize } from './bounded-superjson.js'

/** superjson turns an invalid `Date` into null without a word. Marked as a date it stays wrong, and the server says so. */
function serializeInput(value: unknown): SuperJSONResult {
  const { json, meta } = serialize(value)
  const invalid: Record<string, ['Date']> = {}
  const mark = (inner: unknown, path: string): unknown => {
    if (inner instanceof Date) {
      invalid[path] = ['Date']
      return 'Invalid Date'
    }
    if (typeof inner !== 'object' || inner === null || 'toJSON' in inner) return inner
    const pathOf = (key: string) => {
      const escaped = key.replace(/[\\.]/g, '\\$&')
      return path === '' ? escaped : `${path}.${escaped}`
    }
    if (Array.isArray(inner)) return inner.map((item, index) => mark(item, pathOf(String(index))))
    return Object.fromEntries(Object.entries(inner).map(([key, item]) => [key, mark(item, pathOf(key))]))
  }
  const marked = mark(json, '')
  if (Object.keys(invalid).length === 0) return { json, ...(meta && { meta }) }
  const values = '' in invalid ? invalid[''] : { ...meta?.values, ...invalid }
  return { json: marked, meta: { ...meta, values, v: 1 } } as SuperJSONResult
}

/**
 * The wire format, the same for server and client: superjson, so that a `Date` arrives as a `Date`. What the server reads is
 * bounded; what it does not take throws, and tRPC answers BAD_REQUEST.
 */
export const transformer = {
  input: { serialize: serializeInput, deserialize: boundedDeserialize },
  output: { serialize, deserialize },
}
