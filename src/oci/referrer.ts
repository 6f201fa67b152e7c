import type { Digest } from './digest.ts'
import type { ManifestDetails } from './manifest.ts'

/**
 * The descriptor of a manifest in the list of its subject's referrers, as the specification demands
 * (distribution-spec, "Listing Referrers"); an index has no config that the type could come from.
 */
export function describeReferrer(
  digest: Digest,
  size: number,
  { mediaType, artifactType, annotations }: ManifestDetails,
) {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType !== undefined && { artifactType }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  }
}
