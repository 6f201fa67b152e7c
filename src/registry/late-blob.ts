import type { Content } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { BlobAnswer } from './repository.ts'

type LateBlobOptions = {
  readonly digest: Digest
  /** What the repository's manifest says, in bytes. */
  readonly size: number
  readonly opening: Promise<BlobAnswer | undefined>
}

/**
 * A blob of known size that is not there yet: its headers can be sent, its bytes come when they come,
 * or the connection breaks.
 */
export function createLateBlob({ digest, size, opening }: LateBlobOptions): BlobAnswer {
  let found: BlobAnswer | undefined
  let isClosed = false

  const open = async (): Promise<Content> => {
    found = await opening
    if (isClosed) found?.content.close()
    if (found === undefined)
      throw new RegistryError('BLOB_UNKNOWN', { message: `the upstream does not have ${digest}` })
    if (found.content.size !== size)
      throw new RegistryError('SIZE_INVALID', {
        message: `the upstream says that ${digest} has ${found.content.size} bytes, the manifest says ${size}`,
        status: 502,
      })
    return found.content
  }
  const opened = open()
  opened.catch(() => {})

  return {
    cache: 'miss',
    onSent: (bytes) => found?.onSent(bytes),
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
