import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { HostedLinks } from '../../store/store.ts'
import type { Manifests } from '../manifests.ts'
import type { HostedIndex } from './hosted-index.ts'

/** Finds manifests by what they reference. */
export interface References {
  /** A manifest of the repository that references the digest, except as its subject. */
  find(name: RepositoryName, digest: Digest): Promise<Digest | undefined>
}

type ReferencesOptions = {
  readonly links: HostedLinks
  readonly manifests: Manifests
  readonly index: HostedIndex | undefined
}

/** Asks the index. As long as that is incomplete, reads all manifests of the repository. */
export function createReferences({ links, manifests, index }: ReferencesOptions): References {
  const readAll = async (name: RepositoryName, digest: Digest): Promise<Digest | undefined> => {
    for await (const candidate of links.manifestsOf(name)) {
      const known = await manifests.stored(name, candidate).catch(() => undefined)
      if (known?.references.some((reference) => reference.digest === digest)) return candidate
    }
    return undefined
  }

  return {
    find: async (name, digest) => {
      if (index === undefined || index.problem() !== undefined) return readAll(name, digest)
      const all = await index.referencedBy(digest)
      return all.find((one) => one.name === name)?.manifest
    },
  }
}
