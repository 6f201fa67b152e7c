import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import type { ManifestDetails } from '../../oci/manifest.ts'
import type { Page, PageRequest } from '../../oci/page.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Sharing, TaggedUsage, TagsPart, Usage } from '../inventory.ts'

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

type RepositoryRecord = {
  readonly name: RepositoryName
  readonly tags: number
  readonly manifests: number
  /** When a tag was set, a manifest was pushed, and either was pulled, last. */
  readonly changedAt?: number | undefined
  readonly pushedAt?: number | undefined
  readonly pulledAt?: number | undefined
}

type RepositorySize = {
  readonly name: RepositoryName
  readonly size: number
  /** Of what no other repository has. */
  readonly ownSize: number
}

type TagRecords = {
  readonly total: number
  readonly records: readonly {
    readonly tag: Tag
    readonly digest: Digest
    readonly at: number
    readonly size: number
    readonly mediaType: string
    readonly artifactType?: string | undefined
    readonly platforms: readonly string[]
    readonly pulledAt?: number | undefined
    readonly pushedBy?: string | undefined
    readonly pinned: boolean
    /** Number of blobs and manifests that are not stored. */
    readonly missing: number
  }[]
}

type ImageRecord = {
  readonly tags: readonly { readonly tag: Tag }[]
  readonly parents: readonly Digest[]
  readonly pushedAt: number
  readonly pushedBy?: string | undefined
  readonly pulledAt?: number | undefined
  readonly pinned: boolean
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
  /** Nothing is hosted yet, so there is nothing to answer. */
  isWaiting(): boolean
  repositoryRecords(part: {
    readonly prefix: string
    readonly search: string
    readonly offset: number
    readonly limit: number
  }): Promise<readonly RepositoryRecord[]>
  repositorySizes(): Promise<readonly RepositorySize[]>
  usage(parts: readonly (readonly [RepositoryName, string])[]): Promise<Usage>
  taggedUsage(of: {
    readonly name: RepositoryName
    readonly others: readonly RepositoryName[]
  }): Promise<TaggedUsage>
  tagRecords(name: RepositoryName, part: TagsPart): Promise<TagRecords>
  image(name: RepositoryName, digest: Digest): Promise<ImageRecord | undefined>
  /** Those that are on the disk. */
  storedOf(digests: readonly Digest[]): Promise<readonly Digest[]>
  sharing(digests: readonly Digest[]): Promise<readonly Sharing[]>
  /** Bytes that a removal of manifests from a repository frees. */
  freed(removal: {
    readonly name: RepositoryName
    readonly manifests: readonly Digest[]
  }): Promise<{ readonly bytes: number }>
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
