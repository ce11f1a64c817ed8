type JsonObject = Record<string, unknown>

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads a JSON object as RFC 7515 section 4 and RFC 7519 section 4 want it: in UTF-8, and with no member twice, which readers
 * would take the first or the last of as they like.
 *
 * @throws SyntaxError, or TypeError for what is not UTF-8
 */
export function parseObject(bytes: Uint8Array): JsonObject {
  const text = decoder.decode(bytes)
  const value = parse(text)
  if (!isObject(value)) throw new SyntaxError('Not a JSON object.')
  if (hasDuplicates(text)) throw new SyntaxError('A member stands twice.')
  return value
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not as its cause: it quotes what it cannot read.
    throw new SyntaxError('Not JSON.')
  }
}

// Strings, with the colon that makes one a name, and what opens and closes: all else in a valid text says nothing here.
const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g

/** Of a text that is valid JSON. */
function hasDuplicates(text: string): boolean {
  const open: Set<unknown>[] = []
  for (const [token, string, colon] of text.matchAll(tokens)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (colon !== undefined && string !== undefined) {
      const names = open.at(-1)
      const name: unknown = JSON.parse(string)
      if (names?.has(name)) return true
      names?.add(name)
    }
  }
  return false
}
