import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** In bytes. Files that users write are far smaller. */
const maxSize = 16 * 1024 * 1024

/**
 * The text of a file that users name, without the byte order mark that editors of Windows write: it would be a part of
 * the first user's name, or of a password.
 *
 * The danger: a read from a pipe without a writer blocks its thread, and a process does not exit before
 * its threads do.
 * @throws Error if the file is not a regular file, or larger than 16 MiB.
 */
export async function readRegularFile(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Error(`${file} is not a regular file`)
    if (stat.size > maxSize) throw new Error(`${file} is larger than ${maxSize} bytes`)
    return (await handle.readFile('utf8')).replace(/^\uFEFF/, '')
  } finally {
    await handle.close()
  }
}
