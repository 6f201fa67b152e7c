import { closeSync, fsync, open, write } from 'node:fs'
import { promisify } from 'node:util'

const openFile = promisify(open)
const writePart = promisify(write)
const syncFile = promisify(fsync)

type NewFile = {
  readonly path: string
  readonly bytes: Buffer
  readonly mode?: number
  /** Runs the fsync, if there has to be one. */
  readonly inTurn?: (sync: () => Promise<void>) => Promise<void>
}

/**
 * Creates a file of a few bytes, such as a link. Plain descriptors, because a push writes a dozen
 * of them, and a FileHandle costs as much as its system calls.
 */
export async function writeNewFile({ path, bytes, mode = 0o666, inTurn }: NewFile): Promise<void> {
  const file = await openFile(path, 'wx', mode)
  try {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await writePart(file, bytes, at)
      at += bytesWritten
    }
    await inTurn?.(() => syncFile(file))
  } finally {
    closeSync(file)
  }
}
