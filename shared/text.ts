import { z } from 'zod'

if (!('looseObject' in z)) throw new Error('trpc-bearer needs zod 4: npm install zod@^4')

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

/**
 * A string that PostgreSQL can store: no NUL, no unpaired surrogates. `.min()` and `.max()` count code points, like
 * PostgreSQL's `char_length`.
 */
export function text() {
  return z.string().refine(isStorable, 'Must not contain NUL characters or unpaired surrogates')
}

// Control and format characters (bidi and zero-width included), line and paragraph separators, unpaired surrogates, and
// characters that fonts do not show.
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+/gu

/** Makes text safe for a log: control, bidi and invisible characters become `\uXXXX`. */
export function printable(text: string): string {
  return text.replace(unprintable, run => run.split('').map(escapeUnit).join(''))
}

const escapeUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
