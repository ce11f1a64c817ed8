import { z } from 'zod'

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

/**
 * A string that PostgreSQL can hold: without NUL and without lone surrogates. Lengths given to `.min()` and `.max()`
 * count code points, as PostgreSQL's `char_length` does.
 */
export function text() {
  return z.string().refine(isStorable, 'Must not contain NUL characters or unpaired surrogates')
}
