// Controls, format characters (bidi controls and zero-width ones among them), line and paragraph separators, what a font shows
// nothing of, and surrogates that stand alone.
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+/gu

/** A text as a log may show it: what a terminal obeys, or a reader cannot see, is written as `\uXXXX`. */
export function printable(text: string): string {
  return text.replace(unprintable, run => run.split('').map(escapeUnit).join(''))
}

const escapeUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
