import { LRUCache } from 'lru-cache'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { UpstreamFailure } from '../faults.ts'
import type { RemoteWriter } from '../remote-writer.ts'
import type { RequestContext } from '../request-context.ts'
import { lostSession, retryWrite } from '../retry-write.ts'
import { type Abilities, createResumableUpload } from './resumable-upload.ts'
import { createUploadRequests, type UploadRequests } from './upload-requests.ts'

/** Digests of which a repository is remembered. */
const maxPlaces = 10_000

/**
 * Uploads blobs. A mount is a POST that is answered by 201. 202 opens a session instead, which is
 * cancelled, or used by a resumable upload. Resumable uploads are of one login alone, so they mount what they, or
 * requests before them, have seen in other repositories.
 */
export function createUploads(
  context: RequestContext,
): Pick<RemoteWriter, 'hasBlob' | 'uploadBlob' | 'resumableUpload' | 'mountBlob'> {
  const requests = createUploadRequests(context)
  const abilities: Abilities = { takesParts: true, findsBlobs: true }
  const places = new LRUCache<Digest, RepositoryName>({ max: maxPlaces })
  return {
    hasBlob: async (name, digest, signal) => {
      const isThere = await requests.hasBlob(name, digest, signal)
      if (isThere) places.set(digest, name)
      return isThere
    },
    mountBlob: requests.mount,
    uploadBlob: uploadAtOnce(requests),
    resumableUpload: (name, blob) => {
      const { digest, mountFrom = places.get(digest) } = blob
      const upload = createResumableUpload({
        ...{ name, requests, abilities },
        blob: { ...blob, mountFrom },
      })
      return {
        ...upload,
        run: async (signal) => {
          const uploaded = await upload.run(signal)
          places.set(digest, name)
          return uploaded
        },
      }
    },
  }
}

/**
 * 1. POST opens a session; 202 with a Location.
 * 2. One PUT to the Location has all bytes, with their length.
 * 3. After a failure, HEAD shows whether the blob arrived. If not, the upload starts again at 1.
 */
function uploadAtOnce(requests: UploadRequests): RemoteWriter['uploadBlob'] {
  return (name, { digest, size, open }, signal) =>
    retryWrite(async (mayBeDone) => {
      if (mayBeDone && (await requests.hasBlob(name, digest))) return
      const { location } = await requests.open(name, { digest, signal })
      const opened: { readonly close: () => void }[] = []
      const body = () => {
        if (size === 0) return Buffer.alloc(0)
        const blob = open()
        opened.push(blob)
        return { size, chunks: blob.chunks }
      }
      try {
        const answer = await requests.finish(name, { location, digest, body, signal })
        if (answer.kind === 'refused')
          throw answer.isAboutSession ? lostSession(answer.error) : answer.error
      } catch (error) {
        if (!(error instanceof UpstreamFailure)) await requests.cancel(name, { location })
        throw error
      } finally {
        for (const { close } of opened) close()
      }
    }, signal)
}
