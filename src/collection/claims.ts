import type { Digest } from '../oci/digest.ts'
import type { CollectionParts } from './collection-parts.ts'

/** Removes something while no client looks at the digest; `leased`: a client counts on it. */
export async function withClaim<Result>(
  leases: CollectionParts['leases'],
  digest: Digest,
  remove: () => Promise<Result>,
): Promise<Result | 'leased'> {
  const release = leases.claim(digest)
  if (release === undefined) return 'leased'
  try {
    return await remove()
  } finally {
    release()
  }
}
