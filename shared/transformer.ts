import { deserialize, type SuperJSONResult, serialize } from 'superjson'

const allowedTypes: ReadonlySet<unknown> = new Set(['Date', 'undefined', 'number', 'bigint'])
const limits = { paths: 100, pathLength: 1_000, depth: 10, bigintDigits: 100 }

class PayloadError extends Error {
  override name = 'PayloadError'
}

function refuse(what: string): never {
  throw new PayloadError(`Invalid input: ${what}`)
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** superjson's own escaping: `\.` is a dot inside a key, `\\` a backslash. */
function keysOf(path: string): string[] {
  return path.split(/(?<!(?<!\\)(?:\\\\)*\\)\./).map(key => key.replace(/\\([\\.])/g, '$1'))
}

function at(value: unknown, path: string): unknown {
  return keysOf(path).reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  )
}

function checkMeta(json: unknown, meta: unknown): void {
  if (!isRecord(meta)) refuse('"meta" must be an object')
  let paths = 0
  const countPath = (path: unknown) => {
    if (typeof path !== 'string' || path.length > limits.pathLength)
      refuse('"meta" has a path that is too long')
    if (++paths > limits.paths) refuse(`"meta" has more than ${limits.paths} paths`)
    return path
  }
  const checkTree = (tree: unknown, value: unknown, depth: number): void => {
    if (depth > limits.depth) refuse('"meta" is nested too deeply')
    if (!Array.isArray(tree)) {
      if (!isRecord(tree)) refuse('"meta.values" must hold annotations')
      for (const [path, inner] of Object.entries(tree))
        checkTree(inner, at(value, countPath(path)), depth + 1)
      return
    }
    const [type, children] = tree
    if (tree.length > 2 || !allowedTypes.has(type)) refuse('"meta.values" names a type that is not accepted')
    if (children !== undefined) refuse('"meta.values" annotates inside a value that has no inside')
    if (type === 'bigint' && !(typeof value === 'string' && value.length <= limits.bigintDigits)) {
      refuse(`a bigint has more than ${limits.bigintDigits} digits`)
    }
  }
  const checkEqualities = (equalities: unknown): void => {
    if (!isRecord(equalities)) refuse('"meta.referentialEqualities" must be an object')
    for (const [path, same] of Object.entries(equalities)) {
      countPath(path)
      if (!Array.isArray(same)) refuse('"meta.referentialEqualities" must hold lists of paths')
      same.forEach(countPath)
    }
  }
  if (meta.values !== undefined) checkTree(meta.values, json, 0)
  paths = 0
  if (meta.referentialEqualities !== undefined) checkEqualities(meta.referentialEqualities)
}

/** Reads what a client sent. superjson believes the client's `meta`, so that is checked before anything is deserialised. */
function boundedDeserialize(payload: unknown): unknown {
  if (!isRecord(payload)) refuse('expected superjson, an object with "json"')
  const { json, meta } = payload as Partial<SuperJSONResult>
  if (meta !== undefined) checkMeta(json, meta)
  try {
    // Version 1 of superjson's paths, whatever the client says: the one that was checked.
    return deserialize({ json, meta: meta && { ...meta, v: 1 } })
  } catch {
    return refuse('it cannot be read as superjson')
  }
}

/** superjson turns an invalid `Date` into null without a word. Marked as a date it stays wrong, and the server says so. */
function serializeInput(value: unknown): SuperJSONResult {
  const { json, meta } = serialize(value)
  const invalid: Record<string, ['Date']> = {}
  const mark = (inner: unknown, path: string): unknown => {
    if (inner instanceof Date) {
      invalid[path] = ['Date']
      return 'Invalid Date'
    }
    if (typeof inner !== 'object' || inner === null) return inner
    for (const [key, item] of Object.entries(inner)) {
      const escaped = key.replace(/[\\.]/g, '\\$&')
      const marked = mark(item, path === '' ? escaped : `${path}.${escaped}`)
      if (marked !== item) Reflect.set(inner, key, marked)
    }
    return inner
  }
  const marked = mark(json, '')
  if (Object.keys(invalid).length === 0) return { json, ...(meta && { meta }) }
  const values = '' in invalid ? invalid[''] : { ...meta?.values, ...invalid }
  return { json: marked, meta: { ...meta, values, v: 1 } } as SuperJSONResult
}

/**
 * The wire format, the same for server and client: superjson, so that a `Date` arrives as a `Date`. What the server
 * reads is bounded: Date, undefined, number and bigint (100 digits) only, a hundred annotated paths and a hundred
 * equalities at most; anything else throws, and tRPC answers BAD_REQUEST.
 */
export const transformer = {
  input: { serialize: serializeInput, deserialize: boundedDeserialize },
  output: { serialize, deserialize },
}
