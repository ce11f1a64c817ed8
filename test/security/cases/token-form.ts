import type { TokenCase } from './token-case.js'
import { base64url, claims, good, keys, noon, sealed, secret, token, withParts } from './token-fixtures.js'

const { ed, p256 } = keys
const [header = '', payload = '', signature = ''] = good.split('.')
const head = '{"alg":"EdDSA","kid":"ed"}'
const body = (members: string) =>
  `{"iss":${JSON.stringify(claims().iss)},"aud":${JSON.stringify(claims().aud)},"exp":${noon + 900},${members}}`

/** Signed exactly as given. */
const withHeader = (text: string | Uint8Array) => sealed(text, claims())
const withClaims = (text: string | Uint8Array) => sealed(head, text)

/** The same bytes with another last character, whose unused bits are not zero. */
function spareBits(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return part.slice(0, -1) + alphabet[alphabet.indexOf(part.at(-1) ?? '') + 1]
}

/** A token with both characters that differ between base64 and base64url. */
async function withBoth(): Promise<string> {
  for (let jti = 0; ; jti++) {
    const text = await token({ jti })
    if (text.includes('-') && text.includes('_')) return text
  }
}

/** A token of exactly this many characters. */
async function ofLength(length: number): Promise<string> {
  // Base64url has three of any four lengths. Spaces after the header give the fourth.
  for (const more of ['', ' ', '  ']) {
    const fill = length - (await sealed(head + more, claims({ fill: '' }))).length
    for (let size = Math.floor(fill * 0.75) - 4; size < fill; size++) {
      const text = await sealed(head + more, claims({ fill: 'x'.repeat(size) }))
      if (text.length === length) return text
      if (text.length > length) break
    }
  }
  throw new Error(`No token has ${length} characters.`)
}

/** RFC 7515 sections 2, 3.1 and 7.2: three parts of base64url, no other serialization. */
const partCases: TokenCase[] = [
  ['no token', 'malformed', () => ''],
  ['one part', 'malformed', () => header],
  ['two parts', 'malformed', () => `${header}.${payload}`],
  ['four parts', 'malformed', () => `${good}.${signature}`],
  ['five parts, as a JWE has', 'malformed', () => `${good}.${payload}.${signature}`],
  ['dots alone', 'malformed', () => '..'],
  ['a thousand dots', 'malformed', () => '.'.repeat(1_000)],
  ['an empty header', 'malformed', () => `.${payload}.${signature}`],
  ['empty claims', 'malformed', () => `${header}..${signature}`],
  [
    'claims apart (RFC 7515 appendix F)',
    'malformed',
    async () => `${header}..${base64url(await ed.signature(new TextEncoder().encode(`${header}.`)))}`,
  ],
  [
    'the flattened JSON serialization',
    'malformed',
    () => JSON.stringify({ protected: header, payload, signature }),
  ],
  [
    'the general JSON serialization',
    'malformed',
    () => JSON.stringify({ payload, signatures: [{ protected: header, signature }] }),
  ],
  ['the scheme before it', 'malformed', () => `Bearer ${good}`],
  ['a space before it', 'malformed', () => ` ${good}`],
  ['a newline behind it', 'malformed', () => `${good}\n`],
  ['a NUL behind it', 'malformed', () => `${good}\0`],
  [
    'a newline in the claims',
    'malformed',
    () => `${header}.${payload.slice(0, 20)}\n${payload.slice(20)}.${signature}`,
  ],
  [
    'a space in the signature',
    'malformed',
    () => `${header}.${payload}.${signature.slice(0, 20)} ${signature.slice(20)}`,
  ],
  ['padding of the signature', 'malformed', () => `${good}==`],
  [
    'padding of the claims',
    'malformed',
    async () => `${header}.${base64url(`${JSON.stringify(claims())} `)}=.${signature}`,
  ],
  [
    'base64 with + and /',
    'malformed',
    async () => (await withBoth()).replaceAll('-', '+').replaceAll('_', '/'),
  ],
  [
    'a signature with spare bits, EdDSA',
    'malformed',
    () => withParts(good, { signature: spareBits(signature) }),
  ],
  ['a signature with spare bits, ES256', 'malformed', async () => spareBits(await token({}, {}, p256))],
  ['a signature with a character alone', 'malformed', () => `${good}AAA`],
  ['percent-encoded dots', 'malformed', () => good.replaceAll('.', '%2E')],
  ['letters that look alike', 'malformed', () => good.replace('e', '\u0435')],
  ['16,385 characters', 'malformed', () => ofLength(16_385)],
  ['16,384 characters', 'accepted', () => ofLength(16_384)],
  ['a megabyte of one letter', 'malformed', () => 'A'.repeat(1_000_000)],
  ['a megabyte of claims', 'malformed', () => token({ fill: 'x'.repeat(1_000_000) })],
]

const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))))
const [before = '', after = ''] = body('"sub":"ali?ce"').split('?')

/** RFC 7515 section 4, RFC 7519 sections 4 and 7.2, RFC 8725 section 3.7, RFC 8259. */
const jsonCases: TokenCase[] = [
  ['alg twice', 'malformed', () => withHeader('{"alg":"none","alg":"EdDSA","kid":"ed"}')],
  ['kid twice', 'malformed', () => withHeader('{"alg":"EdDSA","kid":"mine","kid":"ed"}')],
  ['sub twice', 'malformed', () => withClaims(body('"sub":"alice","sub":"admin"'))],
  ['sub twice and the same', 'malformed', () => withClaims(body('"sub":"alice","sub":"alice"'))],
  [
    'sub twice, once with an escape',
    'malformed',
    () => withClaims(body('"sub":"alice","\\u0073ub":"admin"')),
  ],
  ['sub with an escape, once', 'accepted', () => withClaims(body('"\\u0073ub":"alice"'))],
  [
    'sub twice, with spaces before the colon',
    'malformed',
    () => withClaims(body('"sub" :"alice","sub"\n:"admin"')),
  ],
  [
    'a member twice in a claim',
    'malformed',
    () => withClaims(body('"sub":"alice","act":{"sub":"bob","sub":"admin"}')),
  ],
  ['a member twice in a list', 'malformed', () => withClaims(body('"sub":"alice","all":[1,{"a":1,"a":2}]'))],
  [
    'a member twice behind a brace in a text',
    'malformed',
    () => withClaims(body('"sub":"alice","x":"}{\\"","sub":"admin"')),
  ],
  ['__proto__ twice', 'malformed', () => withClaims(body('"sub":"alice","__proto__":1,"__proto__":2'))],
  [
    'one name at two levels',
    'accepted',
    () => withClaims(body('"sub":"alice","act":{"sub":"bob"},"all":[{"sub":1},{"sub":2}]')),
  ],
  [
    'a text that looks like a member twice',
    'accepted',
    () => withClaims(body('"sub":"alice","x":"\\"sub\\":1,\\"sub\\":2"')),
  ],
  ['claims in the prototype', 'claims', () => withClaims(body('"__proto__":{"sub":"admin"}'))],
  [
    'a prototype beside the claims',
    'accepted',
    () => withClaims(body('"sub":"alice","__proto__":{"sub":"admin"},"constructor":1')),
  ],
  ['a byte that is not UTF-8', 'malformed', () => withClaims(bytes(before, [0xff], after))],
  ['a UTF-8 sequence too long', 'malformed', () => withClaims(bytes(before, [0xc0, 0xaf], after))],
  ['a surrogate in UTF-8', 'malformed', () => withClaims(bytes(before, [0xed, 0xa0, 0x80], after))],
  ['a UTF-8 sequence cut off', 'malformed', () => withClaims(bytes(before, [0xe2, 0x82], after))],
  [
    'a byte in the header that is not UTF-8',
    'malformed',
    () => withHeader(bytes('{"alg":"EdDSA","kid":"ed","x":"', [0xff], '"}')),
  ],
  [
    'a BOM before the claims',
    'malformed',
    () => withClaims(bytes([0xef, 0xbb, 0xbf], body('"sub":"alice"'))),
  ],
  ['a BOM before the header', 'malformed', () => withHeader(bytes([0xef, 0xbb, 0xbf], head))],
  ['claims in UTF-16', 'malformed', () => withClaims(Buffer.from(body('"sub":"alice"'), 'utf16le'))],
  ['claims that are a list', 'malformed', () => withClaims(`[${JSON.stringify(claims())}]`)],
  ['claims that are a number', 'malformed', () => withClaims('1')],
  ['claims that are null', 'malformed', () => withClaims('null')],
  ['claims that are a text', 'malformed', () => withClaims('"alice"')],
  ['claims that are a password', 'malformed', () => withClaims(secret)],
  ['a header that is a password', 'malformed', () => withHeader(secret)],
  ['claims with a comma behind a password', 'malformed', () => withClaims(body(`"sub":"${secret}",`))],
  ['claims that are another token', 'malformed', () => withClaims(good)],
  ['a header that is a list', 'malformed', () => withHeader(`[${head}]`)],
  ['a header that is null', 'malformed', () => withHeader('null')],
  ['claims with a comma too many', 'malformed', () => withClaims(body('"sub":"alice",'))],
  ['claims twice over', 'malformed', () => withClaims(JSON.stringify(claims()).repeat(2))],
  ['claims with a comment', 'malformed', () => withClaims(body('"sub":"alice"/* admin */'))],
  ['claims with a number that is none', 'malformed', () => withClaims(body('"sub":"alice","nbf":NaN'))],
  ['claims before a NUL', 'malformed', () => withClaims(`${JSON.stringify(claims())}\0`)],
  [
    'lists 2,500 deep',
    'accepted',
    () => withClaims(body(`"sub":"alice","x":${'['.repeat(2_500)}${']'.repeat(2_500)}`)),
  ],
  [
    'objects 900 deep',
    'accepted',
    () => withClaims(body(`"sub":"alice","x":${'{"a":'.repeat(900)}1${'}'.repeat(900)}`)),
  ],
]

/** RFC 7515 section 4.1.11, RFC 7797: unknown extensions must not be ignored. */
const extensionCases: TokenCase[] = [
  ['crit', 'malformed', () => token({}, { crit: ['exp'], exp: noon })],
  ['crit that is empty', 'malformed', () => token({}, { crit: [] })],
  ['crit that is null', 'malformed', () => token({}, { crit: null })],
  ['crit that is a text', 'malformed', () => token({}, { crit: 'b64' })],
  ['crit of b64, and claims that are not encoded', 'malformed', () => unencoded()],
  ['b64 true in crit', 'malformed', () => token({}, { crit: ['b64'], b64: true })],
  ['b64 false without crit', 'malformed', () => token({}, { b64: false })],
  ['b64 true without crit', 'malformed', () => token({}, { b64: true })],
]

async function unencoded() {
  const input = `${base64url({ alg: 'EdDSA', kid: 'ed', crit: ['b64'], b64: false })}.alice`
  return `${input}.${base64url(await ed.signature(new TextEncoder().encode(input)))}`
}

export const formCases: TokenCase[] = [...partCases, ...jsonCases, ...extensionCases]
