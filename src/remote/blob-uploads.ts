import { algorithmOf, type Digest, isDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { wrongDigest } from './answers.ts'
import { UpstreamFailure } from './faults.ts'
import { rejectionOf } from './rejection.ts'
import type { BlobToUpload, RemoteWriter } from './remote-writer.ts'
import type { WriteContext } from './request-context.ts'
import { lostSession, retryWrite } from './retry-write.ts'
import type { Answer } from './transport.ts'
import { completedBy, locationOf } from './upload-session.ts'

/** An upload ends when its upstream stops reading, or when its caller gives up; in milliseconds. */
const maxUploadWait = 24 * 3_600_000
/** An upload session that is not needed is cancelled, if that is quick; in milliseconds. */
const maxCancelWait = 5000

/**
 * Uploads blobs:
 * 1. POST opens a session; 202 with a Location.
 * 2. One PUT to the Location has all bytes, with their length: Artifact Registry refuses several PATCHes.
 * 3. After a failure, HEAD shows whether the blob arrived. If not, the upload starts again at 1.
 *
 * A mount is a POST that is answered by 201. 202 opens a session instead, which is cancelled.
 */
export function createBlobUploads(
  context: WriteContext,
): Pick<RemoteWriter, 'hasBlob' | 'uploadBlob' | 'mountBlob'> {
  const { exchange, origin, pathOf, repositoryOf } = context
  const uploadsOf = (name: RepositoryName) => `${pathOf(name)}/blobs/uploads/`

  const rejected = (name: RepositoryName, answer: Answer) =>
    rejectionOf(answer, {
      ...context,
      repository: repositoryOf(name),
      attempt: `push a blob to ${repositoryOf(name)}`,
    })

  const hasBlob: RemoteWriter['hasBlob'] = async (name, digest) => {
    try {
      const answer = await exchange.request({
        method: 'HEAD',
        kind: 'stat',
        path: `${pathOf(name)}/blobs/${digest}`,
        repository: repositoryOf(name),
        access: 'push',
      })
      answer.drop()
      return answer.status === 200
    } catch (error) {
      // Some registries refuse HEAD; the upload shows whether this one refuses writes.
      if (isRegistryError(error, 'DENIED')) return false
      throw error
    }
  }

  const post = (
    name: RepositoryName,
    query: Readonly<Record<string, string>>,
    { mountFrom, signal }: { mountFrom?: string; signal?: AbortSignal } = {},
  ) => {
    const search = new URLSearchParams(query)
      .toString()
      .replaceAll('%3A', ':')
      .replaceAll('%2F', '/')
    return exchange.request({
      method: 'POST',
      kind: 'write',
      path: uploadsOf(name) + (search && `?${search}`),
      repository: repositoryOf(name),
      access: 'push',
      body: () => Buffer.alloc(0),
      ...(mountFrom !== undefined && { mountFrom }),
      ...(signal && { signal }),
    })
  }

  const openSession = async (
    name: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<URL> => {
    // Without it, the specification's registries compute a SHA-256.
    const algorithm = algorithmOf(digest)
    const query = algorithm === 'sha256' ? {} : { 'digest-algorithm': algorithm }
    const answer = await post(name, query, { signal })
    if (answer.status !== 202) throw await rejected(name, answer)
    answer.drop()
    return locationOf(answer, { origin, path: uploadsOf(name) })
  }

  /** The session would expire by itself, but may count against a quota until then. */
  const cancel = async (name: RepositoryName, location: URL): Promise<void> => {
    const cancelled = exchange.request({
      method: 'DELETE',
      kind: 'write',
      path: uploadsOf(name),
      location,
      repository: repositoryOf(name),
      access: 'push',
      maxWait: maxCancelWait,
    })
    await cancelled.then(({ drop }) => drop()).catch(() => {})
  }

  const send = async (
    name: RepositoryName,
    { digest, size, open }: BlobToUpload,
    { location, signal }: { location: URL; signal: AbortSignal },
  ): Promise<void> => {
    const opened: { readonly close: () => void }[] = []
    const body = () => {
      if (size === 0) return Buffer.alloc(0)
      const blob = open()
      opened.push(blob)
      return { size, chunks: blob.chunks }
    }
    try {
      const answer = await exchange.request({
        method: 'PUT',
        kind: 'upload',
        path: uploadsOf(name),
        location: completedBy(location, digest),
        repository: repositoryOf(name),
        access: 'push',
        headers: { 'content-type': 'application/octet-stream' },
        body,
        maxWait: maxUploadWait,
        signal,
      })
      await assertCreated(name, answer, digest)
    } finally {
      for (const { close } of opened) close()
    }
  }

  const assertCreated = async (
    name: RepositoryName,
    answer: Answer,
    digest: Digest,
  ): Promise<void> => {
    if (![200, 201, 204].includes(answer.status)) {
      const error = await rejected(name, answer)
      const isLost = isRegistryError(error, 'BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID')
      throw isLost ? lostSession(error) : error
    }
    answer.drop()
    assertSame(origin, answer, digest)
  }

  return {
    hasBlob,

    uploadBlob: (name, blob, signal) =>
      retryWrite(async (mayBeDone) => {
        if (mayBeDone && (await hasBlob(name, blob.digest))) return
        const location = await openSession(name, blob.digest, signal)
        try {
          await send(name, blob, { location, signal })
        } catch (error) {
          if (!(error instanceof UpstreamFailure)) await cancel(name, location)
          throw error
        }
      }, signal),

    mountBlob: async (name, { digest, from }) => {
      const mountFrom = repositoryOf(from)
      try {
        const answer = await post(name, { mount: digest, from: mountFrom }, { mountFrom })
        answer.drop()
        if (answer.status === 202)
          await cancel(name, locationOf(answer, { origin, path: uploadsOf(name) }))
        return answer.status === 201
      } catch (error) {
        // Mounting takes more than uploading: the right to read the source.
        if (isRegistryError(error, 'DENIED')) return false
        throw error
      }
    },
  }
}

/** An upstream that announces another digest of the same algorithm has stored something else. */
export function assertSame(origin: string, answer: Answer, digest: Digest): void {
  const announced = answer.header('docker-content-digest') ?? ''
  if (!isDigest(announced) || algorithmOf(announced) !== algorithmOf(digest)) return
  if (announced !== digest) throw wrongDigest(origin, digest)
}
