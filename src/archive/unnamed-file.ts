import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** A temporary file without a name: nothing is left of it, whatever happens to the process. */
export async function openUnnamedFile(directory: string): Promise<FileHandle> {
  const path = join(directory, `.berth-${randomUUID()}.tmp`)
  const file = await open(path, 'wx+', 0o600)
  try {
    await rm(path)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}
