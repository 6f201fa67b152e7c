import type { Digest } from '../oci/digest.ts'
import type { Page, PageRequest } from '../oci/page.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Change } from './change.ts'

/**
 * What is on the hosted volume, in a database beside it: sizes, dates, references in both
 * directions. The files decide; the database can be deleted at any time and is made again.
 *
 * All questions but `bytes` reject with UNAVAILABLE while {@link Index.problem} is defined.
 */
export interface Index extends Questions {
  /** Why its answers may be incomplete, such as "rebuilding: 12,000 of about 100,000 blobs". */
  problem(): string | undefined
  /** There was nothing on the volume, and nothing was pushed yet. */
  isWaiting(): boolean
  /**
   * Why nothing may be deleted because of an answer; undefined: this process has compared the whole
   * volume with the index. Before that, another registry may have written to the volume unnoticed.
   */
  unverified(): string | undefined
  /**
   * Changes take effect in their order, and before any later question. Never throws: a change that
   * is lost makes the index incomplete until it has compared the volume again.
   */
  apply(changes: readonly Change[]): void
  /**
   * Compares the whole volume again, for example after a backup was restored. Resolves when it is
   * done; rejects when it fails.
   */
  verify(): Promise<void>
  close(): Promise<void>
}

export interface Questions {
  /** Repositories with a manifest, sorted. `prefix`: a name, which itself and all below it match. */
  repositories(
    page: PageRequest & { readonly prefix?: string | undefined },
  ): Promise<Page<RepositoryName>>
  /** Sorted by bytes; empty for an unknown repository. */
  tags(name: RepositoryName, page: PageRequest): Promise<Page<Tag>>
  /** Tags of a repository that point to a manifest, sorted by bytes. */
  tagsOf(name: RepositoryName, digest: Digest): Promise<readonly Tag[]>
  /** Manifests of any repository that reference the digest, except as their subject. */
  referencedBy(digest: Digest): Promise<readonly Reference[]>
  /** Manifests of a repository that have the subject, sorted. */
  referrers(name: RepositoryName, subject: Digest): Promise<readonly Digest[]>
  /** Repositories that have the blob as config or layer, sorted. */
  linkedIn(digest: Digest): Promise<readonly RepositoryName[]>
  /**
   * Stored blobs after a digest that no manifest of any repository references, and that are no
   * manifest of one; sorted.
   */
  unreferenced(after: Digest | undefined, limit: number): Promise<readonly UnreferencedBlob[]>
  /** Links of repositories to blobs that no manifest of that repository references; sorted. */
  unreferencedLinks(after: BlobLink | undefined, limit: number): Promise<readonly BlobLink[]>
  /** All manifests of a repository, sorted by digest. */
  images(name: RepositoryName): Promise<readonly ImageRecord[]>
  /** For quotas: after a restart also an estimate, while the volume is compared. `prefix` as above; all repositories if it is empty. */
  bytes(prefix: string): Promise<Bytes>
  totals(): Promise<Totals>
  /** Repositories and tags whose name contains a text, sorted; the case of letters is ignored. */
  search(text: string, limit: number): Promise<readonly Found[]>
  /** A part of the sorted tags of a repository, with what is known about each. */
  tagRecords(name: RepositoryName, part: TagsPart): Promise<TagRecords>
  /** All repositories with a manifest, sorted. */
  repositoryRecords(part: RepositoriesPart): Promise<readonly RepositoryRecord[]>
  /** Of all repositories, sorted: reads the whole database. */
  repositorySizes(): Promise<readonly RepositorySize[]>
  /** Bytes of parts of the repositories; the part with an empty name only shares them. Reads the whole database. */
  usage(parts: readonly (readonly [RepositoryName, string])[]): Promise<Usage>
  /** The parts are the tagged manifests of a repository, with what a removal of each also removes. */
  taggedUsage(of: TaggedUsageOf): Promise<TaggedUsage>
  /** Who references the digests. */
  sharing(digests: readonly Digest[]): Promise<readonly Sharing[]>
  /** What a removal of manifests from a repository frees. */
  freed(removal: Removal): Promise<Freed>
  /** Those of which the volume has the bytes. */
  storedOf(digests: readonly Digest[]): Promise<readonly Digest[]>
  /** One manifest of a repository. */
  image(name: RepositoryName, digest: Digest): Promise<ImageRecord | undefined>
}

export type Reference = { readonly name: RepositoryName; readonly manifest: Digest }
export type BlobLink = { readonly name: RepositoryName; readonly digest: Digest }

/** Size in bytes. `names`: repositories that have it as config or layer. */
export type UnreferencedBlob = {
  readonly digest: Digest
  readonly size: number
  readonly names: readonly RepositoryName[]
}

/** Times in milliseconds since the epoch. */
export type ImageRecord = {
  readonly digest: Digest
  readonly tags: readonly ImageTag[]
  /** Empty if the manifest's file is missing. */
  readonly mediaType: string
  readonly artifactType?: string | undefined
  readonly subject?: Digest | undefined
  /** Indexes of the repository that contain it. */
  readonly parents: readonly Digest[]
  /** Manifests that it contains. */
  readonly children: readonly Digest[]
  /** Bytes of the manifest, its config and layers; of an index, with its children. */
  readonly size: number
  readonly pushedAt: number
  readonly pushedBy?: string | undefined
  /** The last pull by digest; undefined: never. */
  readonly pulledAt?: number | undefined
  readonly pinned: boolean
  /** The label `quay.expires-after` of the config. */
  readonly expiresAfter?: string | undefined
}

/** `at`: when the tag was set to its digest. `pulledAt`: the last pull by the tag; undefined: never. */
export type ImageTag = {
  readonly tag: Tag
  readonly at: number
  readonly pulledAt?: number | undefined
}

/**
 * `unique`: each blob once, if a manifest below the prefix is or references it, or if it was pushed
 * there and no manifest has referenced it yet. `total`: the same, but once for each repository.
 */
export type Bytes = { readonly unique: number; readonly total: number }

/** Stored blobs, manifests included, and their bytes. */
export type Totals = {
  readonly blobs: number
  readonly bytes: number
  readonly manifests: number
  readonly tags: number
  readonly repositories: number
}

export type Found = { readonly name: RepositoryName; readonly tag?: Tag }

type TagOrder = 'name' | 'date' | 'size'

/** `name`: digits compare as numbers. `search`: a text that the tag contains, in any case. */
export type TagsPart = {
  readonly order: TagOrder
  readonly descending: boolean
  readonly search: string
  readonly offset: number
  readonly limit: number
}

export type TagRecords = { readonly total: number; readonly records: readonly TagRecord[] }

/** Times in milliseconds since the epoch, size as in {@link ImageRecord}. */
export type TagRecord = {
  readonly tag: Tag
  readonly digest: Digest
  readonly at: number
  readonly size: number
  readonly mediaType: string
  readonly artifactType?: string | undefined
  /** Such as `linux/arm64/v8`; sorted. */
  readonly platforms: readonly string[]
  readonly pulledAt?: number | undefined
  readonly pushedBy?: string | undefined
  readonly pinned: boolean
  /** Of what the manifest and its children reference, the number of blobs and manifests that are not stored. */
  readonly missing: number
}

/** `prefix` as above; `search`: a text that the name contains. */
export type RepositoriesPart = {
  readonly prefix: string
  readonly search: string
  readonly offset: number
  readonly limit: number
}

/**
 * `changedAt`: when the newest tag was set; undefined without tags. `pushedAt`, `pulledAt`: the last push of a
 * manifest and the last pull, if recorded.
 */
export type RepositoryRecord = {
  readonly name: RepositoryName
  readonly tags: number
  readonly manifests: number
  readonly changedAt?: number | undefined
  readonly pushedAt?: number | undefined
  readonly pulledAt?: number | undefined
}

/** `size`: each stored blob and manifest once. `ownSize`: of those that no other repository has. */
export type RepositorySize = {
  readonly name: RepositoryName
  readonly size: number
  readonly ownSize: number
}

/** `unique`: each stored blob and manifest once. `own`: of those that no other part has. */
export type UsagePart = { readonly part: string; readonly unique: number; readonly own: number }

/** Of all parts together, and of each. */
export type Usage = {
  readonly unique: number
  readonly own: number
  readonly parts: readonly UsagePart[]
}

/** `others`: repositories that share its bytes. */
export type TaggedUsageOf = {
  readonly name: RepositoryName
  readonly others: readonly RepositoryName[]
}

/** As {@link Usage}. Without a digest: manifests that belong to no tag. */
export type TaggedUsage = Omit<Usage, 'parts'> & {
  readonly parts: readonly (Omit<UsagePart, 'part'> & {
    readonly digest: Digest | undefined
    readonly tags: readonly Tag[]
  })[]
}

/** Manifests of a repository that reference a digest. */
export type Sharing = {
  readonly digest: Digest
  readonly name: RepositoryName
  readonly manifests: number
}

export type Removal = { readonly name: RepositoryName; readonly manifests: readonly Digest[] }

/** Blobs and manifests that nothing else needs. */
export type Freed = { readonly bytes: number; readonly blobs: number }
