import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { chunksOf, type Repository } from '../../registry/registry.ts'

type Asked = {
  readonly repository: Repository
  readonly digest: Digest
  /** Bytes. */
  readonly limit: number
}

/**
 * A small blob, verified; of a cached repository it may have to be downloaded.
 * @throws RegistryError BLOB_UNKNOWN; SIZE_INVALID: it is larger than the limit; others as {@link Repository}.
 */
export async function readBlob({ repository, digest, limit }: Asked): Promise<Buffer> {
  const found = await repository.blob(digest)
  if (found === undefined)
    throw new RegistryError('BLOB_UNKNOWN', { message: `the repository has no blob ${digest}` })
  const { content } = found
  if (content.size > limit) {
    content.close()
    throw new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `${digest} has ${content.size} bytes; only ${limit} are read here`,
    })
  }
  const chunks: Buffer[] = []
  for await (const batch of chunksOf(content)) chunks.push(...batch)
  return Buffer.concat(chunks)
}
