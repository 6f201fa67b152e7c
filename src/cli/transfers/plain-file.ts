import { open } from 'node:fs/promises'

const archiveNames = /\.(?:tar|tgz|tar\.gz|tar\.zst)$/
/** First bytes of gzip, zstd and xz. */
const magics = [
  [0x1f, 0x8b],
  [0x28, 0xb5, 0x2f, 0xfd],
  [0xfd, 0x37, 0x7a, 0x58],
]
/** Of a tar file, in its first header. */
const tarMagic = { text: 'ustar', at: 257 }

/**
 * Whether a path is that of a file which is no archive, neither by its name nor by its content. Then it is pushed as
 * it is, as the spooler does; what should be an archive and is not fails.
 */
export async function isPlainFile(path: string): Promise<boolean> {
  if (archiveNames.test(path)) return false
  try {
    await using file = await open(path, 'r')
    if (!(await file.stat()).isFile()) return false
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0)
    const first = buffer.subarray(0, bytesRead)
    const isCompressed = magics.some((magic) => magic.every((byte, at) => first[at] === byte))
    return !isCompressed && first.toString('latin1', tarMagic.at, tarMagic.at + 5) !== tarMagic.text
  } catch {
    // The code that opens it next reports why it cannot be opened.
    return false
  }
}
