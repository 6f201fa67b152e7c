import type { RepositoryName } from '../../oci/reference.ts'
import type { HostedLinks } from '../../store/store.ts'
import type { HostedIndex } from './hosted-index.ts'

/** How long a walk over all directories is valid, in milliseconds; others may write to the volume. */
const walkLife = 10_000

type CatalogOptions = { readonly links: HostedLinks; readonly index: HostedIndex | undefined }

/** All repositories with a manifest, sorted: from the index, or as long as that is incomplete from the directories. */
export function createCatalog({ links, index }: CatalogOptions) {
  type Walk = { readonly names: Promise<readonly RepositoryName[]>; readonly at: number }
  let last: Walk | undefined

  const walk = (): Promise<readonly RepositoryName[]> => {
    if (last !== undefined && performance.now() - last.at < walkLife) return last.names
    const walking: Walk = { names: links.repositories(), at: performance.now() }
    last = walking
    walking.names.catch(() => {
      if (last === walking) last = undefined
    })
    return walking.names
  }

  return {
    list: async (): Promise<readonly RepositoryName[]> =>
      index === undefined || index.problem() !== undefined
        ? walk()
        : (await index.repositories({})).entries,
    /** A manifest was added or removed here. */
    changed: (): void => {
      last = undefined
    },
  }
}
