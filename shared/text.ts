import { z } from 'zod'

if (!('looseObject' in z)) throw new Error('trpc-bearer needs zod 4: npm install zod@^4')

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

interface TextOptions {
  /** The most code points. */
  max: number
  /** Refuses the empty text. */
  nonEmpty?: boolean
  /** Removes white space at both ends before the rest is checked. */
  trim?: boolean
}

/**
 * A string that PostgreSQL can store: no NUL, no unpaired surrogates. Lengths are in code points, like PostgreSQL's `char_length`; zod
 * before 4.5 counts UTF-16 units.
 */
export function text({ max, nonEmpty = false, trim = false }: TextOptions) {
  const abort = true
  return (trim ? z.string().trim() : z.string())
    .refine(isStorable, { abort, error: 'Must not contain NUL characters or unpaired surrogates' })
    .refine(text => !nonEmpty || text !== '', { abort, error: 'Must not be empty' })
    .refine(text => text.length <= max || [...text].length <= max, {
      abort,
      error: `Must have at most ${max} characters`,
    })
}

// Control and format characters (bidi and zero-width included), line and paragraph separators, unpaired surrogates, and
// characters that fonts do not show.
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+/gu

/** Makes text safe for a log: control, bidi and invisible characters become `\uXXXX`. */
export function printable(text: string): string {
  return text.replace(unprintable, run => run.split('').map(escapeUnit).join(''))
}

const escapeUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
