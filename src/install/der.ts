/** Values of ASN.1 in the distinguished encoding (X.690), as far as certificates need them. */

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

export function tagged(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body])
}

export const sequence = (...content: readonly Uint8Array[]) => tagged(tags.sequence, ...content)
export const set = (...content: readonly Uint8Array[]) => tagged(tags.set, ...content)
export const octets = (content: Uint8Array) => tagged(tags.octetString, content)
export const utf8 = (text: string) => tagged(tags.utf8, Buffer.from(text))
export const yes = tagged(tags.boolean, Buffer.from([0xff]))

/** A number that is not negative, from its bytes. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const digits = first < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first))
  // The first bit is the sign.
  const needsZero = (digits[0] ?? 0) > 0x7f
  return tagged(tags.integer, needsZero ? Buffer.concat([Buffer.from([0]), digits]) : digits)
}

/** `unused`: bits at the end that do not count. */
export function bits(content: Uint8Array, unused = 0): Buffer {
  return tagged(tags.bitString, Buffer.from([unused]), content)
}

/** From its dotted form. */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  return tagged(tags.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

/** As RFC 5280 demands: two digits of the year until 2049. */
export function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  const isFar = date.getUTCFullYear() >= 2050
  return isFar
    ? tagged(tags.generalizedTime, Buffer.from(text))
    : tagged(tags.utcTime, Buffer.from(text.slice(2)))
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff)
  return Buffer.from([0x80 | bytes.length, ...bytes])
}

function base128(value: number): readonly number[] {
  const bytes = [value & 0x7f]
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift((rest & 0x7f) | 0x80)
  return bytes
}
