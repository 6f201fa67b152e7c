import { setTimeout as sleep } from 'node:timers/promises'
import type { Ambient, Config } from '../../config/config.ts'
import {
  createInUse,
  createMissingImages,
  createPushedLists,
  type ImageSource,
  type InUse,
  keepCached,
} from '../../in-use/in-use.ts'
import { watchWorkloadImages } from '../../kubernetes/kubernetes.ts'
import { nameBelow, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import type { CachedImages, Registry, UpstreamOptions } from '../../registry/registry.ts'
import type { DiskCache } from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { apiServerClient } from '../serve/api-server.ts'
import { openLists } from './in-use-lists.ts'
import { openWarmUp } from './warm-up.ts'

type InUseOptions = {
  readonly config: Config
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly telemetry: Telemetry
}

/** Milliseconds between two reads of the lists of other clusters. */
const listInterval = 10_000

/** @throws Error outside a cluster, if workloads should be watched. */
export async function openInUse(options: InUseOptions): Promise<InUse> {
  const { config, ambient, telemetry } = options
  const { log } = telemetry
  const sources: ImageSource[] = []
  if (config.inUse.kubernetes) {
    const client = apiServerClient(ambient)
    if (client === undefined)
      throw new Error('inUse.kubernetes works only in a pod: $KUBERNETES_SERVICE_HOST is not set')
    sources.push(watchWorkloadImages({ client, log }))
  }
  if (config.hosted.length > 0)
    sources.push(
      createPushedLists({
        place: await openLists(options),
        expiry: config.inUse.listExpiry,
        interval: listInterval,
        log,
      }),
    )
  return createInUse(sources)
}

type MaintainOptions = {
  readonly config: Config
  readonly ambient: Ambient
  readonly inUse: InUse
  readonly registry: Registry & { readonly cachedImages: CachedImages }
  readonly cache: DiskCache
  readonly upstreams: readonly UpstreamOptions[]
  readonly telemetry: Telemetry
}

/** Milliseconds between two images that are checked at their registry. */
const checkPause = 1000

/**
 * Runs until it is closed: keeps images in use in the cache, and reports those that are gone from
 * their registry.
 */
export function maintainInUse(options: MaintainOptions): { close(): Promise<void> } {
  const { config, ambient, inUse, registry, cache, upstreams, telemetry } = options
  const { metrics, log } = telemetry
  const stop = new AbortController()
  const { signal } = stop
  const missing = createMissingImages({
    inUse,
    hosts: hostsOf(config),
    exists: async (name, tag) =>
      (await registry.resolve(name).repository.manifest({ tag })) !== undefined,
    pause: checkPause,
    signal,
    log,
  })
  metrics.onScrape(() => {
    metrics.inUseImages.set(inUse.references().length)
    metrics.inUseMissing.set(missing.list().length)
    metrics.inUseKnown.set(inUse.problem() === undefined ? 1 : 0)
  })

  const keep = () => keepCached({ inUse, cache, cachedDigest: cachedDigestIn(upstreams) })
  const hosts = hostsOf(config)
  const warmUp = config.inUse.warmUp.enabled
    ? openWarmUp({ config, ambient, hosts, inUse, registry, cache, keep, telemetry })
    : undefined

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await sleep(config.inUse.interval, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      await keep().catch((err) => log.warn({ err }, 'cannot mark cached images as in use'))
      await missing.check()
    }
  }
  const running = run()

  return {
    close: async () => {
      stop.abort()
      await Promise.all([running, warmUp?.close()])
      await inUse.close()
    },
  }
}

/** Names of Berth in image references. */
export function hostsOf({
  listen,
  hosts,
  inUse,
}: Pick<Config, 'listen' | 'hosts' | 'inUse'>): readonly string[] {
  const own = ['localhost', '127.0.0.1', '[::1]', listen.host].map(
    (host) => `${host}:${listen.port}`,
  )
  return [...own, ...hosts, ...inUse.hosts]
}

function cachedDigestIn(upstreams: readonly UpstreamOptions[]) {
  return async (name: RepositoryName, tag: Tag) => {
    for (const { prefix, links } of upstreams) {
      const below = nameBelow(prefix, name)
      const link = below && (await links.tag(below, tag))
      if (link !== undefined) return link.digest
    }
    return undefined
  }
}
