import { RegistryError } from '../../oci/errors.ts'
import { createUploadId } from '../../oci/upload-id.ts'
import type { RemoteWriter } from '../../remote/remote.ts'
import type { BlobCache } from '../../store/store.ts'
import type { SessionStore, SessionUpload } from '../uploads/session-store.ts'
import { createUpstreamUpload } from './upstream-upload.ts'

/** Seconds. */
const retryAfter = 30

type CachedSessionsOptions = {
  readonly cache: Pick<BlobCache, 'createUpload' | 'problem'>
  readonly remote: Pick<RemoteWriter, 'hasBlob' | 'uploadBlob'>
}

/**
 * Upload sessions whose bytes wait in the cache for their upstream. They do not outlive the process: the
 * cache removes its temporary files when it starts.
 */
export function createCachedSessions({
  cache,
  remote,
}: CachedSessionsOptions): SessionStore & { readonly close: () => Promise<void> } {
  const open = new Set<SessionUpload>()

  return {
    create: async (name, { writer, algorithm }) => {
      const file = await cache.createUpload(algorithm)
      if (file === undefined) throw noRoom(cache.problem())
      const upload = createUpstreamUpload({
        name,
        id: createUploadId(),
        writer,
        file,
        remote,
        onEnd: () => open.delete(upload),
      })
      open.add(upload)
      return upload
    },
    open: async () => undefined,
    list: async function* () {},
    close: async () => {
      await Promise.all([...open].map((upload) => upload.cancel()))
    },
  }
}

function noRoom(problem: string | undefined): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `cannot start an upload: it would wait in the cache for its upstream, and ${problem ?? 'the cache has no room for it'}`,
    status: 507,
    retryAfter,
  })
}
