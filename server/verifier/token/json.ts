type JsonObject = Record<string, unknown>

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads a JSON object in UTF-8 without duplicate members (RFC 7515 section 4, RFC 7519 section 4). Parsers differ in which duplicate
 * they take.
 *
 * @throws SyntaxError, or TypeError for bytes that are not UTF-8
 */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  const text = decoder.decode(bytes)
  const value = parse(text)
  if (!isObject(value)) throw new SyntaxError('Not a JSON object.')
  if (hasDuplicates(text)) throw new SyntaxError('A JSON object has a duplicate member.')
  return value
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Without the original error, which quotes the token.
    throw new SyntaxError('Not JSON.')
  }
}

// Strings (with a colon after them if they are names) and braces. Nothing else matters in valid JSON.
const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g

/** Expects valid JSON. */
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
