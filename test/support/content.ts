import { read } from 'node:fs'
import { readdir, readlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Content } from '../../src/oci/content.ts'

const readAt = promisify(read)

type ReadOptions = {
  /** Where to begin. */
  readonly from?: number
  /** Awaited before each piece, with the bytes so far. */
  readonly before?: (bytes: number) => Promise<void> | void
}

/** All bytes of a content as a client would get them, and closes it. Rejects as `next` does. */
export async function readAll(
  content: Content,
  { from = 0, before }: ReadOptions = {},
): Promise<Buffer> {
  const parts: Buffer[] = []
  let position = from
  try {
    while (position < content.size) {
      await before?.(position)
      const piece = await content.next(position)
      const bytes =
        piece.kind === 'bytes'
          ? Buffer.from(piece.bytes)
          : await readFrom(piece.fd, position, piece.end)
      parts.push(bytes)
      position += bytes.length
    }
    return Buffer.concat(parts)
  } finally {
    content.close()
  }
}

async function readFrom(fd: number, position: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.min(end - position, 1024 * 1024))
  const { bytesRead } = await readAt(fd, buffer, 0, buffer.length, position)
  if (bytesRead === 0) throw new Error(`the file ends at ${position}`)
  return buffer.subarray(0, bytesRead)
}

/** Paths below a directory that this process has open, once for each descriptor. */
export async function openFiles(directory: string): Promise<readonly string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const paths = await Promise.all(
    descriptors.map((descriptor) => readlink(`/proc/self/fd/${descriptor}`).catch(() => '')),
  )
  return paths.filter((path) => path.startsWith(`${directory}/`))
}
