import { once } from 'node:events'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Writes a file that is complete under its name or not there: a new file beside it is renamed. With `-`,
 * standard output.
 */
export async function writeChunks(
  chunks: AsyncIterable<Buffer>,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  if (path === '-') return writeToStdout(chunks)
  const temporary = `${path}.${process.pid}.tmp`
  const file = await open(temporary, 'wx', 0o666)
  try {
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      await file.appendFile(chunk)
    }
    await file.sync()
    await file.close()
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true })
    throw error
  }
}

async function writeToStdout(chunks: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of chunks)
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain')
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
