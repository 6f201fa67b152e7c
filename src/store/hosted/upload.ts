import { fstatSync } from 'node:fs'
import { join } from 'node:path'
import { limitTasks } from '../../memory/memory.ts'
import { algorithmOf, type Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { type Stamp, stampOf } from '../../oci/file-stamp.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import type { BlobPlace } from './blob-place.ts'
import type { GrowingFile } from './growing-file.ts'
import type { Upload } from './hosted-store.ts'
import { dataName, removeSession, type Session } from './session-files.ts'

/** {@link Upload}, for the store that keeps it. */
export interface OpenUpload extends Upload {
  /** Releases the open file and the hash until they are used again. */
  rest(): Promise<void>
  /** The process ends; the session does not. */
  close(): Promise<void>
}

type UploadOptions = {
  readonly id: UploadId
  readonly directory: string
  readonly session: Session
  readonly file: GrowingFile
  readonly place: BlobPlace
  readonly onUse: () => void
  readonly onEnd: () => void
}

/**
 * A session, from its first byte to a blob:
 *
 * 1. Append to `data` in the directory of the session, and hash.
 * 2. Compare the digest.
 * 3. fsync the file, then rename it into place, then fsync the directories.
 * 4. Remove the session.
 *
 * A failure in 3 ends the session: an fsync that failed once proves nothing when it succeeds later.
 */
export function createUpload(options: UploadOptions): OpenUpload {
  const { id, directory, session, file, place, onUse, onEnd } = options
  const inTurn = limitTasks(1)
  let hasEnded = false

  const end = async (hasData = true): Promise<void> => {
    hasEnded = true
    await file.close()
    await removeSession(directory, hasData)
    onEnd()
  }

  const change = <Result>(work: () => Promise<Result>): Promise<Result> =>
    inTurn(() => {
      if (hasEnded) throw new RegistryError('BLOB_UPLOAD_UNKNOWN')
      onUse()
      return place.change(work)
    })

  const store = async (digest: Digest): Promise<{ readonly size: number }> => {
    const { digester, checksums } = await file.hash(algorithmOf(digest))
    const { size } = digester
    if (digester.digest() !== digest)
      throw new RegistryError('DIGEST_INVALID', {
        message: `the ${size} bytes of the upload are not those of ${digest}`,
      })
    let hasData = true
    try {
      if (!(await place.isDurable(digest))) {
        const handle = await file.handle()
        await handle.chmod(0o444)
        await file.sync()
        await place.install({ digest, path: join(directory, dataName), checksums: checksums() })
        hasData = false
        place.trust(digest, stamp(handle.fd))
      }
    } finally {
      await end(hasData)
    }
    return { size }
  }

  return {
    id,
    ...session,
    get size() {
      return file.size
    },
    append: (chunks) => change(() => file.append(chunks)),
    truncate: (size) => change(() => file.truncate(size)),
    commit: (digest) => change(() => store(digest)),
    cancel: () => change(() => end()),
    rest: () => inTurn(file.rest),
    close: () => inTurn(file.close),
  }
}

function stamp(fd: number): Stamp {
  return stampOf(fstatSync(fd, { bigint: true }))
}
