/** Freezes JSON data at every level. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const member of Object.values(value)) deepFreeze(member)
  return value
}

/**
 * A frozen copy of plain objects, arrays and primitives. Undefined for anything else: a frozen Date, Map or class instance can still
 * change.
 */
export function frozenCopy<T>(value: T): T | undefined {
  try {
    return isPlain(value) ? deepFreeze(structuredClone(value)) : undefined
  } catch {
    // A function, a Proxy, or an object that contains itself.
    return undefined
  }
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype) return false
  return Object.values(Object.getOwnPropertyDescriptors(value)).every(
    property => 'value' in property && isPlain(property.value),
  )
}
