import type { Ambient, Config } from '../../config/config.ts'
import { createWarmUp, type InUse, type WarmImage, type WarmUp } from '../../in-use/in-use.ts'
import { listNodePlatforms } from '../../kubernetes/kubernetes.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { ImageReference } from '../../oci/image-reference.ts'
import { formatReference, type RepositoryName } from '../../oci/reference.ts'
import type { CachedImages, Registry } from '../../registry/registry.ts'
import type { DiskCache } from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { ownPlatform } from '../images/platforms.ts'
import { apiServerClient } from '../serve/api-server.ts'

type Options = {
  readonly config: Config
  readonly ambient: Ambient
  /** Names of Berth in image references. */
  readonly hosts: readonly string[]
  readonly inUse: InUse
  readonly registry: Registry & { readonly cachedImages: CachedImages }
  readonly cache: DiskCache
  /** Marks what is cached of the images in use as used now. */
  readonly keep: () => Promise<ReadonlySet<Digest>>
  readonly telemetry: Telemetry
}

/** Milliseconds between two looks at the workloads: a kubelet asks a second or more after a pod is created. */
const pause = 1000
/** Milliseconds for which it counts what is in use. */
const keptTime = 60_000
/** Of the cache, for images in use: the rest is for what else clients pull, and is evicted first. */
const share = 0.8

/**
 * Downloads images that workloads name, with the upstream's credential, into the cache. A user's access
 * is decided when he pulls, as ever.
 */
export function openWarmUp(options: Options): WarmUp {
  const { config, inUse, registry, telemetry } = options
  const { warmUp, interval } = config.inUse
  const { metrics, log } = telemetry
  const platforms = createPlatforms(options)
  const room = createRoom(options)

  const fetch = async ({ name, reference }: WarmImage, signal: AbortSignal): Promise<void> => {
    using reserved = await room.reserve()
    try {
      await registry.cachedImages.of(name).warm(reference, {
        platforms: await platforms.list(),
        admit: reserved.admit,
        signal,
      })
    } catch (error) {
      if (!signal.aborted) metrics.warmUpImages.inc({ result: 'failed' })
      throw error
    }
    const bytes = reserved.keep()
    if (bytes === 0) return
    metrics.warmUpImages.inc({ result: 'stored' })
    metrics.warmUpBytes.inc(bytes)
    log.info(
      { repository: name, reference: formatReference(reference), bytes },
      'downloaded an image that a workload names',
    )
  }

  const running = createWarmUp({
    ...warmUp,
    inUse,
    repositoryOf: createRepositoryOf(options),
    fetch,
    pause,
    recheck: interval,
    log,
  })
  metrics.onScrape(() => metrics.warmUpWaiting.set(running.waiting()))

  return {
    ...running,
    close: async () => {
      await running.close()
      await platforms.close()
    },
  }
}

/** By the names that nodes use: a host of Berth, or one whose images they pull through Berth. */
function createRepositoryOf({ config, hosts, registry }: Options) {
  const { mirrored } = config.inUse.warmUp
  return ({ host = 'docker.io', name }: ImageReference): RepositoryName | undefined => {
    const isOwn = hosts.includes(host)
    if (name === undefined || !(isOwn || mirrored.includes(host))) return undefined
    try {
      const found = registry.resolve(name, isOwn ? undefined : host)
      return found.isHosted ? undefined : found.name
    } catch {
      // No upstream serves it; nodes get the error.
      return undefined
    }
  }
}

function createPlatforms({ config, ambient, telemetry }: Options) {
  const { warmUp, interval } = config.inUse
  const client = apiServerClient(ambient)
  let known: readonly string[] = []
  let checkedAt = Number.NEGATIVE_INFINITY
  let problem: string | undefined

  const check = async (): Promise<void> => {
    checkedAt = performance.now()
    try {
      if (client !== undefined) known = await listNodePlatforms(client)
      problem = undefined
    } catch (err) {
      const message = err instanceof Error ? err.message : String(err)
      if (message !== problem)
        telemetry.log.warn(
          { err, platforms: known.length > 0 ? known : [ownPlatform()] },
          'cannot list nodes to know their platforms; allow list on nodes in a ClusterRole, or set inUse.warmUp.platforms',
        )
      problem = message
    }
  }

  return {
    list: async (): Promise<readonly string[]> => {
      if (warmUp.platforms.length > 0) return warmUp.platforms
      if (performance.now() - checkedAt > interval) await check()
      return known.length > 0 ? known : [ownPlatform()]
    },
    close: async () => client?.close(),
  }
}

/**
 * The danger: an image that is downloaded in advance evicts one that is in use. Those in use are marked as
 * used before each download, so that others are evicted first, and together with what is downloaded they
 * may not fill the cache.
 */
function createRoom({ config, cache, keep }: Options) {
  const { maxSize } = config.inUse.warmUp
  let kept = 0
  let keptAt = Number.NEGATIVE_INFINITY
  let reserved = 0

  const count = async (): Promise<void> => {
    if (performance.now() - keptAt < keptTime) return
    const digests = await keep()
    keptAt = performance.now()
    kept = [...digests].reduce((sum, digest) => sum + (cache.sizeOf(digest) ?? 0), 0)
  }

  return {
    reserve: async () => {
      await count()
      let own = 0
      const release = () => {
        reserved -= own
        own = 0
      }
      return {
        admit: (bytes: number): void => {
          if (bytes > maxSize) throw tooLarge(bytes, `inUse.warmUp.maxSize is ${maxSize}`)
          const room = Math.floor(share * cache.usage().limit) - kept - reserved
          if (bytes > room)
            throw tooLarge(
              bytes,
              `images in use leave ${Math.max(0, room)} of storage.cache.maxSize`,
            )
          own = bytes
          reserved += bytes
        },
        /** Bytes that were downloaded. */
        keep: (): number => {
          const bytes = own
          release()
          kept += bytes
          return bytes
        },
        [Symbol.dispose]: release,
      }
    },
  }
}

function tooLarge(bytes: number, why: string): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    status: 507,
    message: `${bytes} bytes are missing, which is too much to download in advance: ${why}`,
  })
}
