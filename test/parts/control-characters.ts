const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => String.fromCharCode(first + index))

/** Characters that move the cursor, reverse the text, end a line or are invisible. */
export const bad = [
  ...range(0x00, 0x1f),
  ...range(0x7f, 0x9f),
  ...['\u00ad', '\u034f', '\u061c', '\u115f', '\u1160', '\u17b4', '\u180e', '\u3164', '\ufe0f', '\uffa0'],
  ...range(0x200b, 0x200f),
  ...range(0x2028, 0x202e),
  ...range(0x2060, 0x206f),
  ...['\ufeff', '\ufff9', '\ufffa', '\ufffb', '\ud800', '\udbff', '\udc00', '\udfff'],
]
/** All of them in one text. */
export const text = `a${bad.join('a')}z`
/** Finds one of them. A line feed is allowed: it ends the lines of JSON logs. */
export const seen = new RegExp(
  `[${bad
    .filter(one => one !== '\n')
    .map(escaped)
    .join('')}]`,
  'u',
)

/** How it is printed. */
export function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('')
}
