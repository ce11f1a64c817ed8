import { SuperJSON } from 'superjson'

type Serialized = ReturnType<typeof SuperJSON.serialize>
type Annotations = Record<string, unknown>

/** Names that superjson refuses. */
const refused = new Set(['__proto__', 'constructor', 'prototype'])

/** Thrown for a value that the walk does not know. */
const unknown = Symbol('unknown')

/**
 * The same as `SuperJSON.serialize`, key order included, in one walk: several times as fast for rows of a database. What is rare goes to
 * superjson itself: a value that occurs twice, bigint, Map, Set, URL, special numbers, classes, and keys with a dot.
 */
export function serializeOutput(value: unknown): Serialized {
  if (hasOwnTypes()) return SuperJSON.serialize(value)
  try {
    const walk = new Walk()
    const json = walk.copy(value) as Serialized['json']
    const { annotations } = walk
    return annotations === undefined ? { json } : { json, meta: { values: annotations as never, v: 1 } }
  } catch (error) {
    if (error !== unknown) throw error
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

class Walk {
  /** Of the value that was copied last: `[type]`, those of its children by path, or none. */
  annotations: readonly string[] | Annotations | undefined
  readonly #seen = new Set<object>()

  copy(value: unknown): unknown {
    this.annotations = undefined
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value
    if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return value
    if (value === undefined) {
      this.annotations = ['undefined']
      return null
    }
    if (typeof value !== 'object' || this.#seen.has(value)) throw unknown
    this.#seen.add(value)
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null)
      return this.#copyObject(value as Record<string, unknown>)
    if (prototype === Array.prototype) return this.#copyArray(value as unknown[])
    if (prototype !== Date.prototype || Number.isNaN((value as Date).getTime())) throw unknown
    this.annotations = ['Date']
    return (value as Date).toISOString()
  }

  #copyObject(value: Record<string, unknown>): object {
    const copy: Record<string, unknown> = {}
    let annotations: Annotations | undefined
    for (const key of Object.keys(value)) {
      if (refused.has(key) || key.includes('.') || key.includes('\\')) throw unknown
      copy[key] = this.copy(value[key])
      if (this.annotations !== undefined) annotations = withChild(annotations, key, this.annotations)
    }
    this.annotations = annotations
    return copy
  }

  #copyArray(value: unknown[]): unknown[] {
    // Holes, or properties with names.
    if (Object.keys(value).length !== value.length) throw unknown
    let annotations: Annotations | undefined
    const copy = value.map((item, index) => {
      const copied = this.copy(item)
      if (this.annotations !== undefined) annotations = withChild(annotations, `${index}`, this.annotations)
      return copied
    })
    this.annotations = annotations
    return copy
  }
}

const isType = (annotations: readonly string[] | Annotations): annotations is readonly string[] =>
  Array.isArray(annotations)

function withChild(all: Annotations = {}, key: string, child: readonly string[] | Annotations): Annotations {
  if (isType(child)) all[key] = child
  else for (const path of Object.keys(child)) all[`${key}.${path}`] = child[path]
  return all
}
