import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** Whether Berth stores a repository itself, or keeps what it pulled from an upstream. */
export type Listed = {
  readonly name: RepositoryName
  readonly kind: 'hosted' | 'cached'
  /** Of a cached repository: its name in metrics. */
  readonly upstream?: string
}

/** Times in milliseconds since the epoch, sizes in bytes; undefined: not known. */
export type RepositoryFacts = Listed & {
  readonly tags: number
  readonly manifests: number
  /** Of all that is stored, each blob once. */
  readonly size?: number | undefined
  /** Of what no other repository has. */
  readonly ownSize?: number | undefined
  readonly pushedAt?: number | undefined
  /** When a tag was validated at the upstream last. */
  readonly checkedAt?: number | undefined
  readonly pulledAt?: number | undefined
}

/** `unique`: each stored blob and manifest once. `own`: of those that no other part has. */
type UsagePart = { readonly part: string; readonly unique: number; readonly own: number }

/** Of all parts together, and of each. */
export type Usage = {
  readonly unique: number
  readonly own: number
  readonly parts: readonly UsagePart[]
}

/**
 * As {@link Usage}, of tagged manifests with what a removal of each also removes. Without a digest: what
 * belongs to no tag.
 */
export type TaggedUsage = Omit<Usage, 'parts'> & {
  readonly parts: readonly (Omit<UsagePart, 'part'> & {
    readonly digest: Digest | undefined
    readonly tags: readonly Tag[]
  })[]
}

/** `name`: digits compare as numbers. `search`: a text that the tag contains, in any case. */
export type TagsPart = {
  readonly order: 'name' | 'date' | 'size'
  readonly descending: boolean
  readonly search: string
  readonly offset: number
  readonly limit: number
}

/** As {@link RepositoryFacts}. */
export type TagFacts = {
  readonly tag: Tag
  readonly digest: Digest
  /** Undefined: the manifest is not stored, or cannot be read. */
  readonly mediaType?: string | undefined
  readonly artifactType?: string | undefined
  /** Of the manifest and all that it references, of an index for all platforms. */
  readonly size?: number | undefined
  readonly platforms: readonly string[]
  readonly pushedAt?: number | undefined
  readonly pushedBy?: string | undefined
  readonly checkedAt?: number | undefined
  readonly pulledAt?: number | undefined
  readonly stored: 'all' | 'part' | 'none'
  readonly pinned: boolean
}

export type TagsFound = { readonly total: number; readonly tags: readonly TagFacts[] }

/** What is known of a manifest besides its bytes. */
export type ImageFacts = {
  readonly tags: readonly Tag[]
  /** Indexes of the repository that contain it. */
  readonly parents: readonly Digest[]
  readonly pushedAt?: number | undefined
  readonly pushedBy?: string | undefined
  readonly pulledAt?: number | undefined
  readonly pinned: boolean
}

/** Images of a repository that have a blob. */
export type Sharing = {
  readonly digest: Digest
  readonly name: RepositoryName
  readonly manifests: number
}

/** A blob that is being downloaded from an upstream; `readers`: clients that wait for it or read it. */
type Download = {
  readonly name: RepositoryName
  readonly digest: Digest
  readonly upstream: string
  readonly startedAt: number
  readonly received: number
  readonly size: number | undefined
  readonly readers: number
}

/**
 * What is here, without a request to any upstream: for people who look around. The caller decides who may
 * see what.
 */
export interface Inventory {
  /** All repositories with a manifest, sorted. `prefix`: a name, and all below it; `search`: a part of the name. */
  list(part: { readonly prefix: string; readonly search: string }): Promise<readonly Listed[]>
  /** In the same order. */
  describe(listed: readonly Listed[]): Promise<readonly RepositoryFacts[]>
  /**
   * Bytes of parts of the repositories, which are all of one kind; the part with an empty name only shares
   * them. Rejects with UNAVAILABLE while it is not known.
   */
  usage(kind: Listed['kind'], parts: readonly (readonly [RepositoryName, string])[]): Promise<Usage>
  of(name: RepositoryName): RepositoryInventory
  downloads(): readonly Download[]
  /** Why facts about hosted repositories may be missing. */
  problem(): string | undefined
}

export interface RepositoryInventory extends Omit<Listed, 'name'> {
  /** Undefined: there is no such repository. */
  tags(part: TagsPart): Promise<TagsFound | undefined>
  image(digest: Digest): Promise<ImageFacts | undefined>
  /** Those that are on the disk. */
  stored(digests: readonly Digest[]): Promise<ReadonlySet<Digest>>
  sharing(digests: readonly Digest[]): Promise<readonly Sharing[]>
  /** Bytes that a removal of manifests frees once nothing else needs them; undefined: not known. */
  freed(manifests: readonly Digest[]): Promise<number | undefined>
  /** `others`: repositories that share its bytes. Rejects with UNAVAILABLE while it is not known. */
  usage(others: readonly RepositoryName[]): Promise<TaggedUsage>
}
