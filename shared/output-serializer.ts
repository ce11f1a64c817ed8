import { SuperJSON } from 'superjson'

type Serialized = ReturnType<typeof SuperJSON.serialize>

/** Names that superjson refuses. */
const refused = new Set(['__proto__', 'constructor', 'prototype'])

/** Thrown for a value that the walk does not know. */
const unknown = Symbol('unknown')

/**
 * The same as `SuperJSON.serialize`, key order included, in one walk: several times as fast for rows of a database. What is rare goes to
 * superjson itself: a value that occurs twice, bigint, Map, Set, URL, special numbers, classes, keys with a dot, and great depth.
 */
export function serializeOutput(value: unknown): Serialized {
  if (hasOwnTypes()) return SuperJSON.serialize(value)
  try {
    const walk = new Walk()
    const json = walk.copy(value) as Serialized['json']
    const values = walk.types()
    return values === undefined ? { json } : { json, meta: { values: values as never, v: 1 } }
  } catch (error) {
    if (error !== unknown && !(error instanceof RangeError)) throw error
    return SuperJSON.serialize(value)
  }
}

/** Whether the application has registered types of its own, which apply to any value. True also if superjson does not tell. */
function hasOwnTypes(): boolean {
  const types = property(
    property(property(SuperJSON, 'defaultInstance'), 'customTransformerRegistry'),
    'transfomers',
  )
  return !isObject(types) || Object.keys(types).length > 0
}

const isObject = (value: unknown): value is object =>
  (typeof value === 'object' || typeof value === 'function') && value !== null

const property = (value: unknown, key: string): unknown =>
  isObject(value) ? Reflect.get(value, key) : undefined

const dateType = ['Date'] as const
const undefinedType = ['undefined'] as const
const { toISOString } = Date.prototype

interface Typed {
  path: string
  /** Number of the names in the path. */
  depth: number
  type: typeof dateType | typeof undefinedType
}

class Walk {
  readonly #seen = new Set<object>()
  /** The values that JSON has no form for, in the order in which superjson names them. */
  readonly #typed: Typed[] = []

  /** The `meta.values` of superjson. Undefined if there are none. */
  types(): object | undefined {
    const [first] = this.#typed
    if (first === undefined) return undefined
    // The whole value is one.
    if (first.depth === 0) return first.type
    const values: Record<string, readonly string[]> = {}
    for (const { path, type } of this.#typed) values[path] = type
    return values
  }

  /** @param depth number of the names in the path */
  copy(value: unknown, path = '', depth = 0): unknown {
    if (isPlain(value)) return value
    if (value === undefined) {
      this.#typed.push({ path, depth, type: undefinedType })
      return null
    }
    if (typeof value !== 'object' || value === null || this.#seen.has(value)) throw unknown
    this.#seen.add(value)
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Date.prototype) {
      const date = value as Date
      const time = date.valueOf()
      if (Number.isNaN(time) || time !== date.getTime() || date.toISOString !== toISOString) throw unknown
      this.#typed.push({ path, depth, type: dateType })
      return isoOf(date, time)
    }
    const prefix = depth === 0 ? '' : `${path}.`
    if (Array.isArray(value)) {
      if (prototype !== Array.prototype) throw unknown
      return this.#copyArray(value, prefix, depth + 1)
    }
    if ((prototype !== Object.prototype && prototype !== null) || ArrayBuffer.isView(value)) throw unknown
    return this.#copyObject(value as Record<string, unknown>, prefix, depth + 1)
  }

  #copyObject(value: Record<string, unknown>, prefix: string, depth: number): object {
    const copy: Record<string, unknown> = {}
    const level = new Level(this.#typed, depth)
    for (const key of Object.keys(value)) {
      if (refused.has(key) || key.includes('.') || key.includes('\\')) throw unknown
      const child = value[key]
      if (isPlain(child)) copy[key] = child
      else {
        copy[key] = this.copy(child, prefix + key, depth)
        if (isIndex(key)) level.moveLeaf()
      }
    }
    level.end()
    return copy
  }

  #copyArray(value: unknown[], prefix: string, depth: number): unknown[] {
    const copy: unknown[] = []
    const level = new Level(this.#typed, depth)
    for (let index = 0; index < value.length; index++) {
      if (!Object.hasOwn(value, index)) throw unknown
      copy.push(this.copy(value[index], prefix + index, depth))
      level.moveLeaf()
    }
    // Properties with names.
    if (Object.keys(value).length !== value.length) throw unknown
    level.end()
    return copy
  }
}

const dayMs = 86_400_000
const maxDays = 4_096
/** The beginning of each day, such as `2026-11-28T`, by its number since 1970. */
const days = new Map<number, string>()
const two = Array.from({ length: 60 }, (_, n) => `${n}`.padStart(2, '0'))
const three = Array.from({ length: 1_000 }, (_, n) => `${n}`.padStart(3, '0'))

/** As `toISOString`, which takes a microsecond: longer than reading the date from the database. */
function isoOf(date: Date, time: number): string {
  const day = Math.floor(time / dayMs)
  const rest = time - day * dayMs
  let start = days.get(day)
  if (start === undefined) {
    if (days.size === maxDays) days.clear()
    start = toISOString.call(date).slice(0, -'03:04:05.678Z'.length)
    days.set(day, start)
  }
  const seconds = Math.floor(rest / 1_000)
  const minutes = Math.floor(seconds / 60)
  return `${start}${two[Math.floor(minutes / 60)]}:${two[minutes % 60]}:${two[seconds % 60]}.${three[rest % 1_000]}Z`
}

const isPlain = (value: unknown) =>
  typeof value === 'string' ||
  typeof value === 'boolean' ||
  value === null ||
  (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0))

/** superjson collects the types of each level in an object, in which numbers come before all other keys. */
class Level {
  readonly #typed: Typed[]
  readonly #depth: number
  readonly #start: number
  #numbers: Typed[] | undefined

  /** @param depth of its values */
  constructor(typed: Typed[], depth: number) {
    this.#typed = typed
    this.#depth = depth
    this.#start = typed.length
  }

  /** After a value with a number as its key: what JSON has a form for, or has types further down, stays in its place. */
  moveLeaf(): void {
    const last = this.#typed[this.#typed.length - 1]
    if (this.#typed.length === this.#start || last?.depth !== this.#depth) return
    this.#typed.pop()
    this.#numbers ??= []
    this.#numbers.push(last)
  }

  end(): void {
    if (this.#numbers === undefined) return
    const others = this.#typed.splice(this.#start)
    for (const one of this.#numbers) this.#typed.push(one)
    for (const one of others) this.#typed.push(one)
  }
}

const maxIndex = 2 ** 32 - 2
const isIndex = (key: string) => /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) <= maxIndex
