import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type ManifestDetails, mediaTypes, parseManifestDetails } from '../oci/manifest.ts'
import type { Reference } from '../oci/reference.ts'

type Pushed = {
  readonly reference: Reference
  readonly bytes: Buffer
  readonly contentType?: string | undefined
}

const obsolete: readonly string[] = [mediaTypes.dockerSchema1, mediaTypes.dockerSignedSchema1]

/**
 * Parses a manifest that a client wants to store. Its media type must follow from its bytes, because
 * nothing else is stored.
 * @throws RegistryError MANIFEST_INVALID; DIGEST_INVALID: the reference is another digest.
 */
export function parsePushedManifest({ reference, bytes, contentType }: Pushed): {
  readonly digest: Digest
  readonly manifest: ManifestDetails
} {
  const algorithm = 'digest' in reference ? algorithmOf(reference.digest) : 'sha256'
  const digest = digestOf(bytes, algorithm)
  if ('digest' in reference && reference.digest !== digest)
    throw new RegistryError('DIGEST_INVALID', {
      message: `the manifest has the digest ${digest}, and was pushed as ${reference.digest}`,
    })
  const manifest = parseManifestDetails(bytes)
  const { mediaType, invalid } = manifest
  assertContentType(mediaType, contentType)
  if (obsolete.includes(mediaType))
    throw new RegistryError('MANIFEST_INVALID', {
      message: 'manifests of schema 1 are not accepted',
      advice: 'push with a client of this decade',
    })
  // Children of an index that nobody can resolve are like children that are missing.
  if (invalid !== undefined && !manifest.isIndex)
    throw new RegistryError('MANIFEST_INVALID', {
      message: `invalid manifest: ${invalid}: expected a descriptor with mediaType, a sha256 or sha512 digest, and size`,
    })
  return { digest, manifest }
}

function assertContentType(mediaType: string, contentType: string | undefined): void {
  const [type = ''] = (contentType ?? mediaType).split(';')
  if (type.trim().toLowerCase() === mediaType.toLowerCase()) return
  throw new RegistryError('MANIFEST_INVALID', {
    message: `the Content-Type is not the media type of the manifest, ${mediaType}`,
  })
}
