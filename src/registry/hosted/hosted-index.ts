import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import type { ManifestDetails } from '../../oci/manifest.ts'
import type { Page, PageRequest } from '../../oci/page.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'

/** What has changed on the disk, durably. Times in milliseconds since the epoch, sizes in bytes. */
type Change =
  | {
      readonly kind: 'blob'
      readonly digest: Digest
      readonly size: number
      readonly at: number
    }
  | { readonly kind: 'link' | 'unlink'; readonly name: RepositoryName; readonly digest: Digest }
  | {
      readonly kind: 'manifest'
      readonly name: RepositoryName
      readonly digest: Digest
      readonly size: number
      readonly manifest: ManifestDetails
      readonly at: number
      readonly by?: string
    }
  | {
      readonly kind: 'manifest-removed'
      readonly name: RepositoryName
      readonly digest: Digest
    }
  | {
      readonly kind: 'tag'
      readonly name: RepositoryName
      readonly tag: Tag
      readonly digest: Digest
      readonly at: number
    }
  | { readonly kind: 'tag-removed'; readonly name: RepositoryName; readonly tag: Tag }
  | {
      readonly kind: 'pulled'
      readonly name: RepositoryName
      readonly digest: Digest
      readonly tag?: Tag
      readonly at: number
    }

/**
 * A database of what is on the disk, which answers what the directories do not. The directories
 * decide: it can be incomplete or missing at any time.
 */
export interface HostedIndex {
  /** Why its answers may be incomplete; undefined: they are complete. */
  problem(): string | undefined
  /** Why it may have missed a change of the volume; undefined: it has compared the whole volume. */
  unverified(): string | undefined
  /** Changes take effect before any later question. */
  apply(changes: readonly Change[]): void
  /** Repositories with a manifest, sorted. This and the others reject with UNAVAILABLE. */
  repositories(page: PageRequest): Promise<Page<RepositoryName>>
  /** Tags of a repository that point to a manifest. */
  tagsOf(name: RepositoryName, digest: Digest): Promise<readonly Tag[]>
  /** Manifests that reference the digest, except as their subject. */
  referencedBy(
    digest: Digest,
  ): Promise<readonly { readonly name: RepositoryName; readonly manifest: Digest }[]>
  /** Manifests of a repository that have the subject. */
  referrers(name: RepositoryName, subject: Digest): Promise<readonly Digest[]>
  /** Repositories that have the blob. */
  linkedIn(digest: Digest): Promise<readonly RepositoryName[]>
  /** Bytes of different blobs below a prefix that count against its quota. */
  bytes(prefix: string): Promise<{ readonly unique: number }>
}

type Ask<Answer> = (index: HostedIndex) => Promise<Answer>

/** Undefined while the index cannot answer: then the directories have to. */
export async function complete<Answer>(
  index: HostedIndex | undefined,
  ask: Ask<Answer>,
): Promise<Answer | undefined> {
  if (index === undefined || index.problem() !== undefined) return undefined
  return ask(index).catch((error: unknown) => {
    if (isRegistryError(error, 'UNAVAILABLE')) return undefined
    throw error
  })
}

/** As `complete`, if the index is compared with the volume: for decisions about deletions. */
export async function verified<Answer>(
  index: HostedIndex | undefined,
  ask: Ask<Answer>,
): Promise<Answer | undefined> {
  return index?.unverified() === undefined ? complete(index, ask) : undefined
}
