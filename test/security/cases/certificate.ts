import type { Signer } from './token-fixtures.js'

/** X.690: tag, length and content. */
function der(tag: number, ...content: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content)
  const long = [bytes.length >> 8, bytes.length & 255]
  const length = bytes.length < 128 ? [bytes.length] : [0x82, ...long]
  return Buffer.concat([Buffer.from([tag, ...length]), bytes])
}

const sequence = (...content: Uint8Array[]) => der(0x30, ...content)
const integer = (value: number) => der(0x02, Buffer.from([value]))
const time = (text: string) => der(0x17, Buffer.from(text))
const ed25519 = sequence(der(0x06, Buffer.from([0x2b, 0x65, 0x70])))
const commonName = der(0x06, Buffer.from([0x55, 0x04, 0x03]))

/** A self-signed certificate of an EdDSA key in DER (RFC 5280, RFC 8410). */
export async function certificateOf({ publicKey, signature }: Signer): Promise<Buffer> {
  const name = sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from('auth.example.com')))))
  const validity = sequence(time('200101000000Z'), time('491231235959Z'))
  const spki = new Uint8Array(await crypto.subtle.exportKey('spki', publicKey))
  const version = der(0xa0, integer(2))
  const body = sequence(version, integer(1), ed25519, name, validity, name, spki)
  const proof = await signature(new Uint8Array(body))
  return sequence(body, ed25519, der(0x03, Buffer.from([0]), proof))
}

/** An ECDSA signature in the form of X.509 (RFC 3279) instead of JWS (RFC 7518 section 3.4). */
export function ecdsaInDer(bytes: Buffer): Buffer {
  const half = bytes.length / 2
  const numbers = [bytes.subarray(0, half), bytes.subarray(half)]
  return sequence(...numbers.map(number => der(0x02, Buffer.from([0]), number)))
}
