import type { RepositoryName } from '../oci/reference.ts'
import type { DecideOptions, Image } from '../retention/retention.ts'
import type { CollectionParts } from './collection-parts.ts'
import { manifestsInUse } from './digests-in-use.ts'

type Entry = Parameters<DecideOptions['inUse']>[0]

/** What decides about the images of a repository, apart from these; the same for one run. */
export async function createDecideOptions(
  parts: CollectionParts,
): Promise<(name: RepositoryName, images: readonly Image[]) => DecideOptions> {
  const { inUse, leases, settings } = parts
  const { rules } = settings.retention
  const used = await manifestsInUse(parts)
  const now = parts.now()
  return (name, images) => ({
    name,
    images,
    rules,
    now,
    inUse: (entry: Entry) => used.has(entry.digest) || inUse.has({ ...entry, name }),
    isLeased: leases.isFresh,
  })
}
