import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/**
 * How a name is served: name → rule → upstream → credential → digest → content → lifetime → uses. What is not
 * known, or does not apply, is undefined. Times are in ISO 8601, sizes in bytes. The shape is documented in
 * README.md: fields may be added, and none changes its meaning.
 */
export type Why = {
  /** As it was asked for. */
  readonly image: string
  /** Undefined: the name is invalid, or nothing serves it; `problem` says why. */
  readonly name?: RepositoryName | undefined
  /** One of both; the digest decides if the image names both. */
  readonly tag?: Tag | undefined
  readonly requestedDigest?: Digest | undefined
  readonly problem?: string | undefined
  readonly rule?: WhyRule | undefined
  /** Of a proxied repository. */
  readonly upstream?: WhyUpstream | undefined
  readonly credential?: WhyCredential | undefined
  readonly digest?: WhyDigest | undefined
  readonly content?: WhyContent | undefined
  readonly lifetime?: WhyLifetime | undefined
  readonly uses?: WhyUses | undefined
  readonly servedBy: ServedBy
}

/**
 * What answers the next pull. `upstream`: some of it has to be downloaded. `stale`: the cache, while the upstream does
 * not answer. `nothing`: the pull fails.
 */
export type ServedBy = 'hosted' | 'cache' | 'stale' | 'upstream' | 'nothing'

type WhyRule =
  | { readonly kind: 'hosted'; readonly prefix: string }
  /** An empty prefix is the default upstream's. `namespace`: the host that selected it. */
  | {
      readonly kind: 'upstream'
      readonly prefix: string
      readonly url: string
      readonly push: boolean
      readonly namespace?: string | undefined
    }

export type WhyUpstream = {
  readonly url: string
  /** Of its answer to `GET /v2/` without a credential; undefined: none. */
  readonly status?: number | undefined
  /** Why it does not answer. */
  readonly unreachable?: string | undefined
  /** Its last trouble: throttled, denied, not contacted for a while. */
  readonly problem?: string | undefined
}

export type WhyCredential = {
  /** Who Berth is at the upstream. */
  readonly identity: string
  readonly source: string
  /** Undefined: never, or unknown. */
  readonly expires?: string | undefined
  readonly problem?: string | undefined
}

export type WhyDigest = {
  readonly digest: Digest
  /** `history`: the tag was deleted, and is served because a workload names it. */
  readonly from: 'request' | 'tag' | 'history'
  /** Of a cached tag: when the upstream last confirmed it. */
  readonly validatedAt?: string | undefined
  /** Until then the upstream is not asked. Undefined: it is asked by the next pull. */
  readonly freshUntil?: string | undefined
  /** Until then it is served although the upstream does not answer. */
  readonly staleUntil?: string | undefined
  /** `tags.immutable` names it: the upstream is not asked again. */
  readonly immutable?: boolean | undefined
}

export type WhyContent = {
  readonly place: 'hosted' | 'cache'
  readonly mediaType?: string | undefined
  /** Of the manifest, what it references, and of its children: as descriptors say, and as far as manifests are here. */
  readonly size: number
  readonly blobs: number
  readonly storedSize: number
  readonly storedBlobs: number
  /** Of an index: children whose manifests are not here; nodes pull one platform. */
  readonly absentPlatforms: readonly string[]
  /** The first of what is not here, absent platforms aside. */
  readonly missing: readonly Digest[]
}

export type WhyLifetime =
  /** Unless it is pinned, it is evicted when the cache needs room, least recently used first: images in use last. */
  | { readonly kind: 'cache'; readonly pinned: boolean }
  | {
      readonly kind: 'hosted'
      readonly pushedAt?: string | undefined
      readonly pushedBy?: string | undefined
      readonly pulledAt?: string | undefined
      readonly pinned: boolean
      readonly decision?: 'keep' | 'delete' | undefined
      /** Why: see retention. */
      readonly reason?: string | undefined
      readonly rule?: string | undefined
      /** From when the rule deletes it. */
      readonly deletedFrom?: string | undefined
    }

export type WhyUse = {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly node?: string | undefined
  /** The reference by which it is used. */
  readonly image: string
}

export type WhyUses = {
  /** Why it is not known. */
  readonly problem?: string | undefined
  /** No cluster is watched (inUse.kubernetes), and no other cluster has stored a list. */
  readonly unwatched: boolean
  readonly total: number
  readonly pods: number
  readonly namespaces: readonly string[]
  readonly nodes: readonly string[]
  /** What pods run that name the tag, most pods first: several images while some started before it moved. */
  readonly running: readonly { readonly digest: Digest; readonly pods: number }[]
  /** Pods first; at most {@link maxUses}. */
  readonly objects: readonly WhyUse[]
}

export const maxUses = 200
