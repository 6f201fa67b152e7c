import type { Digest } from '../oci/digest.ts'
import type { CollectionParts } from './collection-parts.ts'
import { digestsInUse } from './digests-in-use.ts'
import type { KeepReason } from './step.ts'

type Parts = Pick<CollectionParts, 'store' | 'index' | 'leases' | 'inUse'>

/** Why a blob must be kept at this moment; undefined: nothing needs it. */
export type KeepReasons = (digest: Digest) => Promise<KeepReason | undefined>

/**
 * For one run: what workloads name is read once. A lease is looked at last, without anything in
 * between: clients renew it before they look for the blob.
 */
export async function findKeepReasons(
  parts: Parts,
  isReferenced = async (digest: Digest) => (await parts.index.referencedBy(digest)).length > 0,
): Promise<KeepReasons> {
  const { leases } = parts
  const used = await digestsInUse(parts)
  return async (digest) => {
    if (used.has(digest)) return 'in-use'
    if (await isReferenced(digest)) return 'referenced'
    return leases.isFresh(digest) ? 'leased' : undefined
  }
}
