import { ArchiveError } from './archive-error.ts'

const drainSize = 256 * 1024

/**
 * Reads a stream in parts of given sizes. `cut` is the message of the ArchiveError `incomplete` if the stream
 * ends within one of them.
 */
export function byteReader(chunks: AsyncIterable<Buffer>, cut: string) {
  const iterator = chunks[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)

  /** At most `size` bytes; none at the end. */
  const next = async (size: number): Promise<Buffer> => {
    while (rest.length === 0) {
      const { done, value } = await iterator.next()
      if (done === true) return rest
      rest = value
    }
    const part = rest.subarray(0, size)
    rest = rest.subarray(part.length)
    return part
  }

  /** Exactly `size` bytes, or none at the end. */
  const take = async (size: number): Promise<Buffer> => {
    const parts: Buffer[] = []
    let got = 0
    while (got < size) {
      const part = await next(size - got)
      if (part.length === 0 && got > 0) throw new ArchiveError('incomplete', cut)
      if (part.length === 0) break
      parts.push(part)
      got += part.length
    }
    return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts)
  }

  return {
    take,
    exactly: async (size: number): Promise<Buffer> => {
      const bytes = await take(size)
      if (bytes.length < size) throw new ArchiveError('incomplete', cut)
      return bytes
    },
    /** The next `size` bytes, of which a reader may leave some to `skip`. */
    section: (size: number) => {
      let left = size
      const part = async (): Promise<Buffer | undefined> => {
        if (left === 0) return undefined
        const bytes = await next(left)
        if (bytes.length === 0) throw new ArchiveError('incomplete', cut)
        left -= bytes.length
        return bytes
      }
      async function* content(): AsyncGenerator<Buffer> {
        for (let bytes = await part(); bytes !== undefined; bytes = await part()) yield bytes
      }
      const skip = async () => {
        while ((await part()) !== undefined);
      }
      return { content: content(), skip }
    },
    drain: async () => {
      while ((await next(drainSize)).length > 0);
    },
    close: async () => void (await iterator.return?.()),
  }
}
