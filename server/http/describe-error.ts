import { causesOf } from '../../shared/causes.js'
import { printable } from '../../shared/printable.js'

/** Characters of a text that are looked at: an error may quote a whole request. */
const longest = 10_000

/** What a log may show of an error. */
interface DescribedError {
  type?: string
  message: string
  code?: string | number
  advice?: string
  stack?: string
}

/**
 * What an error says, with its causes, and without PostgreSQL's `detail` and `where`: those quote rows. Its text may quote a caller,
 * so it is made printable, and cut to 10,000 characters. Never throws, whatever was thrown.
 */
export function describeError(error: unknown): DescribedError[] {
  const causes = attempted(() => causesOf(error)) ?? []
  return causes.length === 0 ? [{ message: textOf(error) }] : causes.map(describeOne)
}

function describeOne(error: Error): DescribedError {
  const read = (name: string): unknown => attempted(() => Reflect.get(error, name))
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
  return attempted(() => printableLines(String(value).slice(0, longest))) ?? '(cannot be shown)'
}

const printableLines = (text: string) => text.split('\n').map(printable).join('\n')

function attempted<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
