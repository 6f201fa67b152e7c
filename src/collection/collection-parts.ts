import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Rule } from '../retention/retention.ts'
import type { HostedStore, RunId } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { CollectedIndex } from './collected-index.ts'

/** What clients rely on (registry/): digests that they pushed, or that the registry confirmed. */
interface Leases {
  isFresh(digest: Digest): boolean
  /** For as long as one removal takes: clients that ask for it wait. Undefined: it is leased. */
  claim(digest: Digest): (() => void) | undefined
}

/** What workloads name (in-use/). */
interface ImagesInUse {
  /** Why it is not known; undefined: it is known. */
  problem(): string | undefined
  has(entry: {
    readonly name: RepositoryName
    readonly tag?: Tag | undefined
    readonly digest: Digest
  }): boolean
  hasTag(name: RepositoryName, tag: Tag): boolean
  references(): readonly {
    readonly name?: RepositoryName | undefined
    readonly tag?: Tag | undefined
    readonly digest?: Digest | undefined
  }[]
}

/** Removes as a client's DELETE does, under the same locks (registry/). False: it was not so. */
interface Removals {
  /** Only if the tag still points to the digest. */
  untag(request: {
    readonly name: RepositoryName
    readonly tag: Tag
    readonly digest: Digest
    readonly run: RunId
  }): Promise<boolean>
  /** Only if it has no tag, no manifest that is not in `with` references it, and it has no lease. */
  manifest(request: {
    readonly name: RepositoryName
    readonly digest: Digest
    readonly run: RunId
  }): Promise<boolean>
}

/** Times in milliseconds. */
export type CollectionSettings = {
  /** Between two collections. */
  readonly interval: number
  /** From when a blob is unreferenced, or was leased, to its removal. */
  readonly grace: number
  /** From the removal to the deletion. */
  readonly trash: number
  /** Bytes: with less free space, the trash is emptied early. */
  readonly minimumFree: number
  readonly retention: {
    readonly interval: number
    readonly rules: readonly Rule[]
    /** Only report what the rules delete. */
    readonly dryRun: boolean
  }
}

export type CollectionParts = {
  /** Root of the hosted volume. */
  readonly root: string
  /** Other replicas write to the store: the index is compared with it before each run. */
  readonly isShared?: boolean
  readonly store: HostedStore
  readonly index: CollectedIndex
  readonly leases: Leases
  readonly inUse: ImagesInUse
  readonly removals: Removals
  readonly settings: CollectionSettings
  readonly telemetry: Telemetry
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Milliseconds since any fixed time; unlike `now`, it does not jump when the clock is set. */
  readonly uptime: () => number
}
