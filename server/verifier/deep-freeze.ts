/** Freezes what JSON can be, through and through. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const member of Object.values(value)) deepFreeze(member)
  return value
}

/**
 * A copy that nobody can change, of plain objects and lists; what it was made of stays as it is, and may be somebody else's.
 * Undefined where something else is in it: freezing holds no Date, Map or Set, and not what an object of a class keeps to itself.
 */
export function frozenCopy<T>(value: T): T | undefined {
  try {
    if (!isPlain(value)) return undefined
    const copy = structuredClone(value)
    // A Map that was given another prototype looks plain until it is copied.
    return isPlain(copy) ? deepFreeze(copy) : undefined
  } catch {
    // A Proxy, which looks plain and cannot be cloned, or more levels than the stack has.
    return undefined
  }
}

function isPlain(value: unknown, seen = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null)
    return typeof value !== 'function' && typeof value !== 'symbol'
  if (seen.has(value)) return true
  seen.add(value)
  const prototype: unknown = Object.getPrototypeOf(value)
  const isList = Array.isArray(value)
  if (prototype !== (isList ? Array.prototype : Object.prototype) && prototype !== null) return false
  const names = Reflect.ownKeys(value).filter(name => !(isList && name === 'length'))
  return names.every(name => {
    const member = Object.getOwnPropertyDescriptor(value, name)
    const isData = typeof name === 'string' && member?.enumerable === true && 'value' in member
    return isData && isPlain(member.value, seen)
  })
}
