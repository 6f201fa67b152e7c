import type { RepositoryName } from '../../oci/reference.ts'
import type { HostedLinks } from '../../store/store.ts'
import { complete, type HostedIndex } from './hosted-index.ts'

/** How long a walk over all directories is valid, in milliseconds; others may write to the volume. */
const walkLife = 10_000

type CatalogOptions = { readonly links: HostedLinks; readonly index: HostedIndex | undefined }

/**
 * All repositories with a manifest, sorted: from the index, or as long as that is incomplete from the
 * directories.
 */
export function createCatalog({ links, index }: CatalogOptions) {
  let walked: { readonly names: Promise<Set<RepositoryName>>; readonly at: number } | undefined

  const walk = (): Promise<Set<RepositoryName>> => {
    if (walked !== undefined && performance.now() - walked.at < walkLife) return walked.names
    const walking = {
      names: links.repositories().then((names) => new Set(names)),
      at: performance.now(),
    }
    walked = walking
    walking.names.catch(() => {
      if (walked === walking) walked = undefined
    })
    return walking.names
  }

  return {
    list: async (): Promise<readonly RepositoryName[]> => {
      const page = await complete(index, ({ repositories }) => repositories({}))
      return page?.entries ?? [...(await walk())].toSorted()
    },
    /** A manifest was added to a repository. */
    added: (name: RepositoryName): void => {
      // A walk that is under way may have passed it.
      walked?.names.then(
        (names) => names.add(name),
        () => {},
      )
    },
    /** A manifest was removed, perhaps the last one. */
    removed: (): void => {
      walked = undefined
    },
  }
}
