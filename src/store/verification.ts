import type { FileHandle } from 'node:fs/promises'
import { limitTasks } from '../memory/memory.ts'
import { algorithmOf, createDigester, type Digest } from '../oci/digest.ts'
import { isUnchanged, type Stamp, stampOf } from '../oci/file-stamp.ts'
import { readOrEnd } from './files.ts'

/** Bytes that are read at once. */
const readSize = 256 * 1024
/** Files of which a part is read and hashed at the same time: Node has four threads for files. */
const maxAtOnce = 2

/**
 * Hashes a whole file; returns its stamp if it matches. Few files are read at the same time,
 * whatever the number of verifications, and each reads one part per turn: none waits for the whole
 * of another.
 */
export type Verify = (
  digest: Digest,
  file: FileHandle,
  onProgress: (bytes: number) => Promise<void> | void,
) => Promise<Stamp | undefined>

export function createVerify(): Verify {
  const inTurn = limitTasks(maxAtOnce)
  const spare: Buffer[] = []

  return async (digest, file, onProgress) => {
    const stamp = stampOf(await file.stat({ bigint: true }))
    const digester = createDigester(algorithmOf(digest))
    const hashPart = async (): Promise<number> => {
      const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(readSize)
      const bytes = await readOrEnd(file, buffer, digester.size)
      digester.update(buffer.subarray(0, bytes))
      spare.push(buffer)
      return bytes
    }
    while ((await inTurn(hashPart)) > 0) await onProgress(digester.size)
    return digester.digest() === digest && isUnchanged(await file.stat({ bigint: true }), stamp)
      ? stamp
      : undefined
  }
}
