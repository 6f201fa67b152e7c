import type { Content } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { BlobAnswer } from './repository.ts'

type PendingBlobOptions = {
  readonly digest: Digest
  readonly upstream: string
  /** The size in the repository's manifest, in bytes. */
  readonly size: number
  readonly opening: Promise<BlobAnswer | undefined>
}

/**
 * A blob of known size that the upstream has not sent yet: the headers can be sent now. The bytes
 * follow, or the content fails.
 */
export function createPendingBlob({
  digest,
  upstream,
  size,
  opening,
}: PendingBlobOptions): BlobAnswer {
  let found: BlobAnswer | undefined
  let isClosed = false

  const open = async (): Promise<Content> => {
    found = await opening
    if (isClosed) found?.content.close()
    if (found === undefined)
      throw new RegistryError('BLOB_UNKNOWN', { message: `the upstream does not have ${digest}` })
    if (found.content.size !== size)
      throw new RegistryError('SIZE_INVALID', {
        message: `${digest} has ${found.content.size} bytes at the upstream, and ${size} bytes in the manifest`,
        status: 502,
      })
    return found.content
  }
  const opened = open()
  opened.catch(() => {})

  return {
    cache: 'miss',
    upstream,
    content: {
      digest,
      size,
      next: async (position) => (await opened).next(position),
      close: (broken) => {
        isClosed = true
        found?.content.close(broken)
      },
    },
  }
}
