import { deserialize, SuperJSON } from 'superjson'
import { hasLongHost } from './host-length.js'
import { serializeOutput } from './output-serializer.js'

const invalidDate = ['custom', 'invalid Date'] as const
/** superjson takes time for each level of each special value, so an answer that repeats a deep input would block the process. */
const limits = { levels: 100, numericKeys: 5_000 }

/** superjson alone turns an invalid `Date` into null, and an empty form field would then clear a due date. */
const inputSuperJson = new SuperJSON()
inputSuperJson.registerCustom<Date, string>(
  {
    isApplicable: (value): value is Date => value instanceof Date && Number.isNaN(value.getTime()),
    serialize: String,
    deserialize: () => new Date(Number.NaN),
  },
  invalidDate[1],
)

class PayloadError extends Error {
  override name = 'PayloadError'
}

function refuse(problem: string): never {
  throw new PayloadError(`Invalid input: ${problem}`)
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const isRecord = (value: unknown): value is Record<string, unknown> =>
  isObject(value) && !Array.isArray(value)

const stringOf = (value: unknown): string =>
  typeof value === 'string' ? value : refuse('a Date, URL, bigint or special number must be sent as a string')

const listOf = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : refuse('a Set or Map must be sent as an array')

const bigintOf = (value: unknown): bigint =>
  /^-?\d{1,100}$/.test(stringOf(value)) ? BigInt(stringOf(value)) : refuse('a bigint has at most 100 digits')

function urlOf(value: unknown): URL {
  const text = stringOf(value)
  return hasLongHost(text) ? refuse('the host of a URL has at most 253 characters') : new URL(text)
}

/** What one input has used of its limits. */
interface Used {
  numericKeys: number
}

/** V8 hashes numbers without a seed: a megabyte of chosen ones would block the process for half a minute. */
function keysFrom(list: unknown[], used: Used): unknown[] {
  used.numericKeys += list.filter(key => typeof key === 'number' || typeof key === 'bigint').length
  return used.numericKeys <= limits.numericKeys
    ? list
    : refuse(`its Sets and Maps have at most ${limits.numericKeys} numbers as keys`)
}

function mapOf(entries: unknown[][], used: Used): Map<unknown, unknown> {
  const keys = keysFrom(
    entries.map(([key]) => key),
    used,
  )
  return new Map(keys.map((key, index) => [key, entries[index]?.[1]]))
}

const readers = new Map<unknown, (value: unknown, used: Used) => unknown>([
  ['undefined', () => undefined],
  ['number', value => Number(stringOf(value))],
  ['bigint', bigintOf],
  ['Date', value => new Date(stringOf(value))],
  ['URL', urlOf],
  ['set', (value, used) => new Set(keysFrom(listOf(value), used))],
  ['map', (value, used) => mapOf(listOf(value).map(listOf), used)],
  [invalidDate.join(), () => new Date(Number.NaN)],
])

/** A path of superjson: keys with dots between; a backslash escapes a dot or a backslash of a key. */
function keysOf(path: string): string[] {
  const keys = ['']
  for (const [part] of path.matchAll(/\\.|[^\\]/gs)) {
    if (part === '.') keys.push('')
    else keys.push(keys.pop() + part.slice(-1))
  }
  return keys
}

function ownProperty(value: unknown, key: string): unknown {
  if (!isObject(value) || !Object.hasOwn(value, key)) refuse('"meta.values" names a path that does not exist')
  return Reflect.get(value, key)
}

/** Applies superjson's annotations, innermost first. A node is `[type]`, `[type, children]` or children by path. */
function revive(value: unknown, node: unknown, used: Used): unknown {
  const [type, children = {}] = Array.isArray(node) ? node : [undefined, node]
  if (!isRecord(children)) refuse('"meta.values" must hold annotations')
  for (const [path, child] of Object.entries(children)) {
    const keys = keysOf(path)
    const last = keys.pop() ?? ''
    const parent = keys.reduce(ownProperty, value)
    const revived = revive(ownProperty(parent, last), child, used)
    if (isObject(parent)) Reflect.set(parent, last, revived)
  }
  if (!Array.isArray(node)) return value
  const name = Array.isArray(type) ? type.join() : type
  const read = readers.get(name) ?? refuse(`the type ${JSON.stringify(name)?.slice(0, 50)} is not accepted`)
  return read(value, used)
}

/** superjson sends no property of these names: a row that holds one could not be answered. */
const unsendable = new Set(['__proto__', 'constructor', 'prototype'])

function requireSendable(value: unknown, levels = limits.levels): void {
  if (!isObject(value)) return
  if (levels === 0) refuse(`it is nested deeper than ${limits.levels} levels`)
  if (Array.isArray(value)) {
    for (const inner of value) requireSendable(inner, levels - 1)
    return
  }
  for (const [name, inner] of Object.entries(value)) {
    if (unsendable.has(name)) refuse(`the property name ${name} is not accepted`)
    requireSendable(inner, levels - 1)
  }
}

/** `referentialEqualities` are not read: superjson sends every copy in full, and applying them can grow without end. */
function readInput(payload: unknown): unknown {
  if (!isRecord(payload)) refuse('expected superjson, an object with "json"')
  requireSendable(payload)
  const { json, meta = {} } = payload
  if (!isRecord(meta)) refuse('"meta" must be an object')
  try {
    return meta.values === undefined ? json : revive(json, meta.values, { numericKeys: 0 })
  } catch (error) {
    if (error instanceof PayloadError) throw error
    return refuse('a value does not fit its type in "meta.values"')
  }
}

/**
 * The wire format of server and client: superjson. The server reads JSON, undefined, bigint (100 digits), Date, URL (a host
 * of 253 characters), Set and Map, up to 100 levels deep. Any other type (RegExp, Error, classes) throws, and tRPC answers BAD_REQUEST.
 */
export const transformer = {
  input: { serialize: (value: unknown) => inputSuperJson.serialize(value), deserialize: readInput },
  output: { serialize: serializeOutput, deserialize },
}
