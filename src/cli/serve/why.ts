import type { Collector } from '../../collection/collection.ts'
import type { Config } from '../../config/config.ts'
import type { Credentials } from '../../credentials/credentials.ts'
import type { InUse } from '../../in-use/in-use.ts'
import type { Index } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Registry, UpstreamOptions } from '../../registry/registry.ts'
import type { Decision } from '../../retention/retention.ts'
import type { DiskCache, HostedStore } from '../../store/store.ts'
import { createWhy, type Explain, type WhyLifetime } from '../../why/why.ts'
import { hostsOf } from '../in-use/in-use.ts'

type WhyOptions = {
  readonly config: Config
  readonly registry: Registry
  readonly cache: DiskCache
  readonly upstreams: readonly (UpstreamOptions & {
    readonly url: string
    readonly credentials: Credentials
  })[]
  readonly hosted: { readonly store: HostedStore; readonly index: Index }
  /** Undefined for a volume that is only read. */
  readonly collector: Collector | undefined
  readonly inUse: InUse
}

/** The wiring of `berth why`. */
export function openWhy(options: WhyOptions): Explain {
  const { config, registry, cache, upstreams, hosted, inUse } = options
  return createWhy({
    ownHosts: hostsOf(config),
    resolve: registry.resolve,
    cache,
    upstreams,
    hosted: {
      blobs: hosted.store.blobs,
      links: hosted.store.links,
      lifetime: (image) => lifetimeOf(options, image),
    },
    inUse,
    isWatched: () => config.inUse.kubernetes || inUse.references().length > 0,
    now: Date.now,
  })
}

type ImageName = {
  readonly name: RepositoryName
  readonly tag?: Tag | undefined
  readonly digest: Digest
}

/** Undefined while the index cannot tell. */
async function lifetimeOf(
  { hosted: { index }, collector }: WhyOptions,
  { name, tag, digest }: ImageName,
): Promise<WhyLifetime | undefined> {
  if (index.problem() !== undefined) return undefined
  const record = (await index.images(name)).find((image) => image.digest === digest)
  if (record === undefined) return undefined
  const [named] = record.tags.filter((each) => tag === undefined || each.tag === tag)
  const of = named === undefined ? { digest } : { tag: named.tag }
  const explained = await collector?.explain(name, of)
  const pulledAt = Math.max(named?.pulledAt ?? 0, record.pulledAt ?? 0)
  return {
    kind: 'hosted',
    pushedAt: new Date(named?.at ?? record.pushedAt).toISOString(),
    pushedBy: record.pushedBy,
    ...(pulledAt > 0 && { pulledAt: new Date(pulledAt).toISOString() }),
    pinned: record.pinned,
    ...(explained !== undefined && decisionIn(explained.decision)),
  }
}

function decisionIn(decision: Decision) {
  return {
    decision: decision.action,
    reason: decision.kind,
    ...('rule' in decision && { rule: decision.rule }),
    ...('at' in decision && { deletedFrom: new Date(decision.at).toISOString() }),
  }
}
