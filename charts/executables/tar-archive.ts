import { gzipSync } from 'node:zlib'

export type Entry = { readonly name: string; readonly content: Buffer; readonly mode: number }

const block = 512

/** A compressed tar archive (POSIX ustar) of files. The same content makes the same archive, on any day. */
export function tarArchive(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ content, ...entry }) => [
    header({ ...entry, size: content.length }),
    content,
    Buffer.alloc(-content.length & (block - 1)),
  ])
  const tar = Buffer.concat([...parts, Buffer.alloc(2 * block)])
  return gzipSync(tar)
}

function header({ name, mode, size }: Omit<Entry, 'content'> & { readonly size: number }): Buffer {
  const bytes = Buffer.alloc(block)
  const octal = (value: number, at: number, digits: number) =>
    bytes.write(`${value.toString(8).padStart(digits, '0')}\0`, at)
  bytes.write(name, 0, 100)
  octal(mode, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(size, 124, 11)
  octal(0, 136, 11)
  bytes.fill(' ', 148, 156)
  bytes.write('0', 156)
  bytes.write('ustar\u000000', 257)
  octal(
    bytes.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  )
  return bytes
}
