import { causesOf } from '../../shared/error-handling.js'
import { printable } from '../../shared/text.js'

/** An error may quote a whole request. */
const maxLength = 10_000

/** An error, safe to log. */
interface SerializedError {
  type?: string
  message: string
  code?: string | number
  advice?: string
  stack?: string
}

/**
 * An error and its causes for a log, without PostgreSQL's `detail` and `where`, which quote rows. Texts are made printable
 * and cut to 10,000 characters. It never throws.
 */
export function serializeError(error: unknown): SerializedError[] {
  const causes = valueOrUndefined(() => causesOf(error)) ?? []
  return causes.length === 0 ? [{ message: textOf(error) }] : causes.map(serializeOne)
}

function serializeOne(error: Error): SerializedError {
  const read = (name: string): unknown => valueOrUndefined(() => Reflect.get(error, name))
  const [code, advice, stack] = [read('code'), read('advice'), read('stack')]
  return {
    type: textOf(read('name')),
    message: textOf(read('message')),
    ...(isGiven(code) && { code: typeof code === 'number' ? code : textOf(code) }),
    ...(isGiven(advice) && { advice: textOf(advice) }),
    ...(isGiven(stack) && { stack: textOf(stack) }),
  }
}

const isGiven = (value: unknown) => value !== undefined && value !== null

function textOf(value: unknown): string {
  return valueOrUndefined(() => printableLines(String(value).slice(0, maxLength))) ?? '(cannot be shown)'
}

const printableLines = (text: string) => text.split('\n').map(printable).join('\n')

function valueOrUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
