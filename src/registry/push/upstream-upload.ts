import { algorithmOf, type Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import type { BlobToUpload, RemoteWriter } from '../../remote/remote.ts'
import type { CachedUpload } from '../../store/store.ts'
import { chunksOf } from '../read-content.ts'
import type { SessionUpload } from '../uploads/session-store.ts'

type UpstreamUploadOptions = {
  readonly name: RepositoryName
  readonly id: UploadId
  readonly writer: string
  readonly file: CachedUpload
  readonly remote: Pick<RemoteWriter, 'hasBlob' | 'uploadBlob'>
  readonly onEnd: () => void
}

/** A blob on its way to the upstream. */
type Sending = {
  readonly digest: Digest
  readonly size: number
  /** Does not reject: the error, if any. */
  readonly result: Promise<unknown>
  /** The upstream rejected the blob: its rest need not arrive. */
  readonly rejection: () => RegistryError | undefined
  readonly stop: () => Promise<void>
}

/** Smaller blobs are sent when they are complete, in bytes: they do not take long. */
const minEarly = 1024 * 1024

/**
 * An upload session whose blob goes to the upstream:
 *
 * 1. Its bytes are written to a file of the cache.
 * 2. If digest and size are known before the bytes arrive, they are sent on while they arrive, unless the
 *    upstream has the blob. The end is held back. Otherwise a client that waits 30 s for its response, such
 *    as containerd, would have to wait for the whole transfer to the upstream.
 * 3. `commit` verifies the digest, and releases the end, or sends everything.
 * 4. Once the upstream has acknowledged the blob, the file becomes a blob of the cache.
 */
export function createUpstreamUpload(options: UpstreamUploadOptions): SessionUpload {
  const { name, id, writer, file, remote, onEnd } = options
  let sending: Sending | undefined

  const toSend = (digest: Digest, size: number): BlobToUpload => ({
    digest,
    size,
    open: () => {
      const chunks = readFile(file, { digest, size })
      return { chunks, close: () => void chunks.return() }
    },
  })

  const transfer = async (digest: Digest, size: number, signal: AbortSignal): Promise<void> => {
    if (await remote.hasBlob(name, digest)) return
    signal.throwIfAborted()
    await remote.uploadBlob(name, toSend(digest, size), signal)
  }

  const start = (digest: Digest, size: number): Sending => {
    const controller = new AbortController()
    let rejection: RegistryError | undefined
    const result = transfer(digest, size, controller.signal).then(
      () => undefined,
      (error: unknown) => {
        if (isRegistryError(error) && error.code !== 'UNAVAILABLE') rejection = error
        return error
      },
    )
    const stop = async () => {
      controller.abort(stopped)
      await result
    }
    return { digest, size, result, stop, rejection: () => rejection }
  }

  const stopSending = async (): Promise<void> => {
    const running = sending
    sending = undefined
    await running?.stop()
  }

  /** What was sent while it arrived may have failed because it arrived slowly. */
  const finishSending = async (digest: Digest): Promise<void> => {
    if (sending?.digest === digest && sending.size === file.size) {
      const error = await sending.result
      sending = undefined
      if (error === undefined) return
      if (!isRegistryError(error, 'UNAVAILABLE')) throw error
    }
    await stopSending()
    sending = start(digest, file.size)
    const error = await sending.result
    sending = undefined
    if (error !== undefined) throw error
  }

  return {
    id,
    writer,
    get size() {
      return file.size
    },
    append: async (chunks) => {
      const rejection = sending?.rejection()
      if (rejection !== undefined) throw rejection
      await file.append(chunks)
    },
    truncate: async (size) => {
      await stopSending()
      await file.truncate(size)
    },
    expect: ({ digest, size }) => {
      if (size >= minEarly && file.size < size && algorithmOf(digest) === file.algorithm)
        sending ??= start(digest, size)
      return { stop: stopSending }
    },
    commit: async (digest) => {
      await file.verify(digest)
      await finishSending(digest)
      const { size } = file
      await file.commit(digest)
      onEnd()
      return { size }
    },
    cancel: async () => {
      await file.discard(stopped)
      await stopSending()
      onEnd()
    },
  }
}

/** Opens the file when the first chunk is requested. */
async function* readFile(
  file: CachedUpload,
  expected: { readonly digest: Digest; readonly size: number },
) {
  yield* chunksOf(await file.read(expected))
}

const stopped = new RegistryError('BLOB_UPLOAD_INVALID', {
  message: 'the upload has ended before the blob was complete',
})
