import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { maxManifestSize, parseManifestDetails } from '../../oci/manifest.ts'
import type { BlobSource } from '../blob-store.ts'

/** What a stored manifest refers to. */
export async function readSubject(
  blobs: BlobSource,
  manifest: Digest,
): Promise<Digest | undefined> {
  const bytes = await blobs.read(manifest, maxManifestSize)
  if (bytes === undefined) return undefined
  try {
    return parseManifestDetails(bytes).subject?.digest
  } catch (error) {
    if (isRegistryError(error, 'MANIFEST_INVALID')) return undefined
    throw error
  }
}
