import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { type ManifestDetails, maxManifestSize, parseManifestDetails } from '../oci/manifest.ts'
import type { HostedBlobs } from '../store/store.ts'

/** Also restores it from the trash. Undefined: there is no such blob, or it is no manifest. */
export async function readManifest(
  blobs: HostedBlobs,
  digest: Digest,
): Promise<{ readonly manifest: ManifestDetails; readonly size: number } | undefined> {
  const bytes = await blobs.read(digest, maxManifestSize)
  if (bytes === undefined) return undefined
  try {
    return { manifest: parseManifestDetails(bytes), size: bytes.length }
  } catch (error) {
    if (isRegistryError(error, 'MANIFEST_INVALID')) return undefined
    throw error
  }
}
