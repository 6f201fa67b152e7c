import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createFailures, createTraffic } from '../../api/api.ts'
import { type Config, type Loaded, listenHosts } from '../../config/config.ts'
import { createApi, type Listeners, listen, listenAdmin, openSend } from '../../http/http.ts'
import type { FollowedFiles } from '../../input/input.ts'
import { createMemory, defaultMemoryLimit, type Memory } from '../../memory/memory.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { createRegistry } from '../../registry/registry.ts'
import { createDiskCache, overlap } from '../../store/store.ts'
import { createTelemetry, type Telemetry } from '../../telemetry/telemetry.ts'
import { openStatus } from '../administration/status.ts'
import { maintainInUse, openInUse } from '../in-use/in-use.ts'
import { attempt } from '../process/start-errors.ts'
import { openCollection } from './collection.ts'
import { openHosted } from './hosted.ts'
import { hostedRootOf } from './hosted-root.ts'
import { openMirrors } from './mirrors.ts'
import { withinOpenFiles } from './open-files.ts'
import { openPipes } from './pipes.ts'
import { openQueries } from './queries.ts'
import { readinessOf } from './readiness.ts'
import { readReloadableFiles } from './reloadable-files.ts'
import { listenForReplicas, openReplicas } from './replicas.ts'
import { openServiceAccounts } from './service-accounts.ts'
import { openSharedCache } from './shared-cache.ts'
import { openSites } from './sites.ts'
import { createUpstream } from './upstreams.ts'
import { openWhy } from './why.ts'

/** A running Berth. */
export type Service = {
  readonly api: Listeners
  readonly mirrors: readonly Listeners[]
  readonly admin: Listeners
  readonly telemetry: Telemetry
  /**
   * Reports that it is not ready, accepts requests for the configured delay unless `now`, then waits for
   * running requests until the deadline.
   */
  stop(now: boolean): Promise<void>
}

type ServeOptions = {
  readonly version: string
  /** Default: logs to standard output. */
  readonly telemetry?: Telemetry
}

/**
 * The wiring of `berth serve`: every part that exists, and its dependencies.
 * @throws StartError for a port in use, a directory that is not writable, or a file that is not
 * readable.
 */
export async function serve(
  { config: configured, ambient }: Pick<Loaded, 'config' | 'ambient'>,
  { version, telemetry = createTelemetry({ level: configured.log.level }) }: ServeOptions,
): Promise<Service> {
  const config = withinOpenFiles(configured, telemetry)
  const { shutdown, limits } = config
  const memory = createMemory(limits.memory ?? defaultMemoryLimit())
  const { caches, inFlight } = memory
  reportMemory(memory, telemetry)
  const outbound = await attempt('environment', () => createOutbound(ambient))
  const { serviceAccounts: accepted } = config.auth
  const serviceAccounts =
    accepted &&
    (await attempt('auth.serviceAccounts', () =>
      openServiceAccounts({ config: accepted, ambient, outbound, telemetry }),
    ))
  const files = await readReloadableFiles(config, serviceAccounts)
  const cache = await openCache(config, telemetry)
  const inUse = await attempt('inUse', () => openInUse({ config, ambient, outbound, telemetry }))
  const hosted = await attempt('storage.hosted.directory', () =>
    openHosted({ config, ambient, outbound, cache, inUse, telemetry }),
  )
  const upstreams = await attempt('upstreams', () =>
    config.upstreams.map((upstream) =>
      createUpstream(upstream, { ambient, outbound, cache, version, caches, inFlight, telemetry }),
    ),
  )
  const sharedCache = await attempt('storage.cache.bucket', () =>
    openSharedCache({ config, ambient, outbound, cache, caches, inFlight, telemetry }),
  )
  const { fillDeadline, fillStall, answerTime } = limits
  const replicas =
    config.replicas &&
    (await openReplicas({
      config: config.replicas,
      outbound,
      version,
      memory: inFlight,
      telemetry,
    }))
  const registry = createRegistry({
    ownHosts: config.hosts,
    upstreams,
    cache,
    hosted: hosted.registry,
    fillDeadline,
    fillStall,
    answerTime,
    findUrl: config.storage.cache.redirects.enabled ? sharedCache?.urlOf : undefined,
    findOrigins: (blob, how) => [
      ...(replicas?.findOrigins(blob, how) ?? []),
      ...(sharedCache === undefined ? [] : [sharedCache.origin]),
    ],
    shared: replicas?.shared,
    caches,
    inFlight,
    telemetry,
  })

  const collection = openCollection({
    config,
    ...hosted,
    inUse,
    removals: registry.removals,
    telemetry,
  })
  const traffic = createTraffic({ metrics: telemetry.metrics, now: Date.now })
  const maintained = maintainInUse({
    ...{ config, ambient, inUse, registry, cache, upstreams, telemetry },
  })
  // What runs in the background keeps the process alive.
  const closeBackground = async () => {
    traffic.close()
    await Promise.all(
      [maintained, collection, serviceAccounts, replicas].map((part) => part?.close()),
    )
  }

  let followed: Readonly<Record<string, FollowedFiles>> = {}
  let stopping = false
  const open: Listeners[] = []
  const readiness = () => {
    const isListening = open.length > 0 && open.every((listeners) => listeners.isListening())
    const parts = { cache, sharedCache, hosted, upstreams, followed, inUse, serviceAccounts }
    return readinessOf({ stopping, isListening, ...parts })
  }
  const admin = await attempt('admin', async () =>
    listenAdmin({ ...binding(config.admin), readiness, telemetry }),
  ).catch(async (error) => {
    await closeBackground()
    throw error
  })
  try {
    const failures = createFailures(Date.now)
    const { collector } = collection
    const asked = { config, registry, upstreams, hosted, inUse, telemetry }
    const explain = openWhy({ ...asked, cache, collector })
    const send = openSend(config.sendfile)
    const handler = await createApi({
      hosts: config.tls === undefined ? [...config.hosts, config.listen.host] : undefined,
      registry,
      auth: files.auth,
      telemetry,
      send,
      memory: inFlight,
      answerTime,
      cors: config.cors.origins.length === 0 ? undefined : config.cors,
      onFailure: failures.record,
      uploadOwners: replicas?.uploadOwners,
      sites: config.ui.enabled
        ? await openSites({
            registry,
            inventory: registry.inventory,
            cachedImages: registry.cachedImages,
            workloads: inUse,
            retention: collection.retention,
            versions: collector,
            explain,
            ...{
              traffic,
              failures,
              upstreams,
              readiness,
              cache,
              index: hosted.index,
              caches,
              memory: inFlight,
            },
            auth: files.auth,
            version,
            title: config.ui.title,
            pullHost: config.ui.pullHost,
            telemetry,
          })
        : [],
    })
    const { keyPair: tls } = files
    const maxConnections = limits.connections
    const api = await attempt('listen', () =>
      listen({
        ...binding(config.listen),
        handler,
        tls,
        maxConnections,
        connectionMemory: memory.connections,
        memory: inFlight,
      }),
    )
    open.push(api)
    const mirrors = await openMirrors({ config, registry, send, memory, telemetry })
    open.push(...mirrors)
    if (replicas !== undefined)
      open.push(await listenForReplicas({ config, replicas, registry, send, memory, telemetry }))
    followed = { ...files.follow(api, telemetry), ...(replicas && { replicas: replicas.followed }) }
    const { addresses } = api
    const pipes = await openPipes({ config, version, addresses, memory, telemetry })
    const queries = await openQueries({
      config,
      explain,
      status: openStatus({
        ...{ ...asked, version, readiness, addresses, index: hosted.index, serviceAccounts },
      }),
      telemetry,
    })

    return {
      api,
      mirrors,
      admin,
      telemetry,
      stop: async (now) => {
        stopping = true
        for (const listeners of open) listeners.drain()
        await sleep(now ? 0 : shutdown.delay)
        pipes.drain()
        await Promise.all(open.map((listeners) => listeners.close(shutdown.deadline)))
        await Promise.all([pipes.close(), queries.close()])
        await closeBackground()
        await registry.close()
        await sharedCache?.close()
        await Promise.all([cache.close(), hosted.close()])
        const remotes = upstreams.map(({ remote }) => remote)
        await Promise.all([...Object.values(followed), ...remotes].map((part) => part.close()))
        await admin.close(0)
      },
    }
  } catch (error) {
    await Promise.all([...open, admin].map((listeners) => listeners.close(0)))
    await closeBackground()
    throw error
  }
}

function reportMemory({ caches, connections, inFlight }: Memory, { metrics }: Telemetry): void {
  metrics.memoryLimit.set({ use: 'caches' }, caches.max)
  metrics.memoryLimit.set({ use: 'connections' }, connections.max)
  metrics.memoryLimit.set({ use: 'in_flight' }, inFlight.max)
  metrics.onScrape(() => {
    metrics.memory.set({ use: 'caches' }, caches.used())
    metrics.memory.set({ use: 'connections' }, connections.used())
    metrics.memory.set({ use: 'in_flight' }, inFlight.used())
  })
}

async function openCache({ storage, hosted }: Config, telemetry: Telemetry) {
  const cacheRoot = storage.cache.directory ?? join(storage.directory, 'cache')
  const hostedRoot = hostedRootOf({ storage })
  if (hosted.length > 0 || storage.hosted.directory !== undefined)
    await attempt('storage.hosted.directory', () => assertApart(hostedRoot, cacheRoot))
  return attempt('storage.directory', () =>
    createDiskCache({ root: cacheRoot, ...storage.cache, telemetry }),
  )
}

/** Otherwise eviction would delete hosted blobs, and the next start would take them for cached ones. */
async function assertApart(hosted: string, cache: string): Promise<void> {
  if (await overlap(hosted, cache))
    throw new Error(
      `${hosted} is the same as the cache's directory ${cache}, or one contains the other; choose separate directories`,
    )
}

function binding(address: Config['listen']) {
  return { hosts: listenHosts(address), port: address.port }
}
