import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** In bytes; the files that people write for us are far smaller. */
const maxSize = 16 * 1024 * 1024

/**
 * The text of a file that somebody named.
 *
 * The danger: whatever else has a name, such as a pipe that nobody writes to, may hold the thread that
 * reads it for ever, and a process does not end before its threads do.
 * @throws Error for what is no regular file, or absurdly large.
 */
export async function readRegularFile(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Error(`${file} is not a regular file`)
    if (stat.size > maxSize) throw new Error(`${file} is larger than ${maxSize} bytes`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}
