import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { HostedLinks } from '../../store/store.ts'
import type { Manifests } from '../manifests.ts'
import { type HostedIndex, verified } from './hosted-index.ts'

/** Finds manifests and tags by what they refer to. */
export interface References {
  /** A manifest of the repository that references the digest, except as its subject. */
  find(name: RepositoryName, digest: Digest): Promise<Digest | undefined>
  /** Tags of the repository that may point to the digest: their files decide. */
  tags(name: RepositoryName, digest: Digest): Promise<readonly Tag[]>
}

type ReferencesOptions = {
  readonly links: HostedLinks
  readonly manifests: Manifests
  readonly index: HostedIndex | undefined
}

/** Asks the index. As long as that is not verified, reads the whole repository. */
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
      const all = await verified(index, ({ referencedBy }) => referencedBy(digest))
      if (all === undefined) return readAll(name, digest)
      return all.find((one) => one.name === name)?.manifest
    },
    tags: async (name, digest) =>
      (await verified(index, ({ tagsOf }) => tagsOf(name, digest))) ??
      (await links.tags(name)) ??
      [],
  }
}
