import { deserialize, type SuperJSONResult } from 'superjson'

const allowedTypes: ReadonlySet<unknown> = new Set(['Date', 'undefined', 'number', 'bigint'])
const limits = { paths: 100, pathLength: 1_000, depth: 10, jsonDepth: 1_000 }
const bigint = /^-?\d{1,100}$/

class PayloadError extends Error {
  override name = 'PayloadError'
}

function refuse(what: string): never {
  throw new PayloadError(`Invalid input: ${what}`)
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const isRecord = (value: unknown): value is Record<string, unknown> =>
  isObject(value) && !Array.isArray(value)

/** superjson's own escaping: `\.` is a dot inside a key, `\\` a backslash. */
function keysOf(path: string): string[] {
  return path.split(/(?<!(?<!\\)(?:\\\\)*\\)\./).map(key => key.replace(/\\([\\.])/g, '$1'))
}

function at(value: unknown, path: string): unknown {
  return keysOf(path).reduce<unknown>(
    (inner, key) => (isObject(inner) && Object.hasOwn(inner, key) ? Reflect.get(inner, key) : undefined),
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
    if (value === undefined) refuse('"meta.values" names a path that is not there')
    if (children !== undefined) refuse('"meta.values" annotates inside a value that has no inside')
    if (type === 'bigint' && !(typeof value === 'string' && bigint.test(value))) {
      refuse('a bigint has at most 100 digits')
    }
  }
  const checkEqualities = (equalities: unknown): void => {
    if (!isRecord(equalities)) refuse('"meta.referentialEqualities" must be an object')
    for (const [path, same] of Object.entries(equalities)) {
      if (!Array.isArray(same)) refuse('"meta.referentialEqualities" must hold lists of paths')
      for (const other of [path, ...same].map(countPath)) {
        if (at(json, other) === undefined)
          refuse('"meta.referentialEqualities" names a path that is not there')
      }
    }
  }
  if (meta.values !== undefined) checkTree(meta.values, json, 0)
  paths = 0
  if (meta.referentialEqualities !== undefined) checkEqualities(meta.referentialEqualities)
}

function checkDepth(json: unknown): void {
  let level = [json].filter(isObject)
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limits.jsonDepth) refuse('it is nested too deeply')
    level = level.flatMap(inner => Object.values(inner).filter(isObject))
  }
}

/**
 * Reads what a client sent as superjson. superjson believes the client's `meta`, so that is checked before anything is
 * deserialised: Date, undefined, number and bigint (100 digits) only, of values that are there, a hundred annotated paths and
 * a hundred equalities at most, a thousand levels.
 *
 * @throws PayloadError for anything else
 */
export function boundedDeserialize(payload: unknown): unknown {
  if (!isRecord(payload)) refuse('expected superjson, an object with "json"')
  const { json, meta } = payload as Partial<SuperJSONResult>
  checkDepth(json)
  if (meta !== undefined) checkMeta(json, meta)
  try {
    // Version 1 of superjson's paths, whatever the client says: the one that was checked. Equalities are not applied: the
    // JSON holds each copy already, and parts that share parts are exponential or endless.
    return deserialize({ json, meta: meta && { values: meta.values, v: 1 } })
  } catch {
    return refuse('it cannot be read as superjson')
  }
}
