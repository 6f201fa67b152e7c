/** One entry of a tar file that a test writes, valid or hostile. */
export type TarItem = {
  readonly name: string
  readonly content?: Buffer | string
  readonly type?: string
  readonly linkName?: string
  /** What the header says, if not the size of the content: the field's text, or its bytes. */
  readonly size?: string | Buffer
  /** Default: 0o644. */
  readonly mode?: number
}

const block = 512

/** A tar file. It does not use the product's own writer. */
export function tarFile(
  items: readonly TarItem[],
  { end = true }: { readonly end?: boolean } = {},
): Buffer {
  const parts = items.flatMap((item) => {
    const content = Buffer.from(item.content ?? '')
    return [header(item, content.length), content, Buffer.alloc(-content.length & (block - 1))]
  })
  return Buffer.concat([...parts, Buffer.alloc(end ? 2 * block : 0)])
}

/** An entry `x` of PAX records, such as `path`. */
export function paxItem(records: Readonly<Record<string, string>>): TarItem {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`
    let length = Buffer.byteLength(rest) + 1
    while (Buffer.byteLength(`${length}${rest}`) !== length) length += 1
    return `${length}${rest}`
  })
  return { name: 'pax', type: 'x', content: lines.join('') }
}

function header(
  { name, type = '0', linkName = '', size, mode = 0o644 }: TarItem,
  length: number,
): Buffer {
  const bytes = Buffer.alloc(block)
  bytes.write(name, 0, 100)
  bytes.write(`${mode.toString(8).padStart(7, '0')}\0`, 100)
  bytes.write('0001750\0', 108)
  bytes.write('0001750\0', 116)
  const text = size ?? `${length.toString(8).padStart(11, '0')}\0`
  if (typeof text === 'string') bytes.write(text, 124, 12)
  else text.copy(bytes, 124)
  bytes.write('14700000000\0', 136)
  bytes.fill(0x20, 148, 156)
  bytes.write(type, 156)
  bytes.write(linkName, 157, 100)
  bytes.write('ustar\u000000', 257)
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return bytes
}
