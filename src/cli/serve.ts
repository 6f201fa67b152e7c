import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Auth, createAuth } from '../auth/auth.ts'
import { type Loaded, listenHosts } from '../config/config.ts'
import {
  createApi,
  type Listeners,
  listen,
  listenAdmin,
  parseKeyPair,
  type Readiness,
} from '../http/http.ts'
import { type FollowedFiles, followFiles, readRegularFile } from '../input/input.ts'
import { createMemory, defaultMemoryLimit, type Memory } from '../memory/memory.ts'
import { createOutbound } from '../outbound/outbound.ts'
import { createRegistry, type UpstreamOptions } from '../registry/registry.ts'
import {
  type BlobCache,
  createDiskBlobs,
  createDiskCache,
  createDiskLinks,
  overlap,
} from '../store/store.ts'
import { createTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import { openMirrors } from './mirrors.ts'
import { explain } from './start-errors.ts'
import { createUpstream } from './upstreams.ts'

/** A running Berth. */
export type Service = {
  readonly api: Listeners
  readonly mirrors: readonly Listeners[]
  readonly admin: Listeners
  readonly telemetry: Telemetry
  /**
   * Stops being ready, goes on for the configured delay unless `now`, finishes what runs up to the
   * deadline.
   */
  stop(now: boolean): Promise<void>
}

type ServeOptions = {
  readonly version: string
  /** Instead of one that logs to standard output. */
  readonly telemetry?: Telemetry
}

/**
 * The wiring of `berth serve`: all that exists, and who knows whom.
 * @throws StartError for a port that is taken, a directory that cannot be written, a file that
 * cannot be read.
 */
export async function serve(
  { config, ambient }: Pick<Loaded, 'config' | 'ambient'>,
  { version, telemetry = createTelemetry({ level: config.log.level }) }: ServeOptions,
): Promise<Service> {
  const { storage, shutdown, limits } = config
  const memory = createMemory(limits.memory ?? defaultMemoryLimit())
  const { caches, inFlight } = memory
  watchMemory(memory, telemetry)
  const root = storage.cache.directory ?? join(storage.directory, 'cache')
  const hostedRoot = storage.hosted.directory ?? join(storage.directory, 'hosted')
  const tlsFiles = config.tls === undefined ? [] : [config.tls.certificate, config.tls.key]
  const htpasswdFiles = config.auth.htpasswd === undefined ? [] : [config.auth.htpasswd]

  const keyPair = await explain('tls', () => readAll(tlsFiles))
  const tls = await explain('tls', () => parseKeyPair(tlsFiles, keyPair))
  const htpasswd = await explain('auth.htpasswd', () => readAll(htpasswdFiles))
  const auth = await explain('auth.htpasswd', () =>
    createAuth({ ...config.auth, htpasswd: htpasswd[0] }),
  )
  if (config.hosted.length > 0 || storage.hosted.directory !== undefined)
    await explain('storage.hosted.directory', () => assertApart(hostedRoot, root))
  const cache = await explain('storage.directory', () =>
    createDiskCache({ root, ...storage.cache, telemetry }),
  )
  const outbound = await explain('environment', () => createOutbound(ambient))
  const upstreams = await explain('upstreams', () =>
    config.upstreams.map((upstream) =>
      createUpstream(upstream, { ambient, outbound, cache, version, caches, inFlight, telemetry }),
    ),
  )
  const registry = createRegistry({
    upstreams,
    cache,
    hosted: {
      prefixes: config.hosted.map(({ prefix, anonymous }) => ({
        prefix,
        anonymous: anonymous === 'pull',
      })),
      blobs: createDiskBlobs({ root: hostedRoot, telemetry }),
      links: createDiskLinks({ root: hostedRoot }),
    },
    fillDeadline: limits.fillDeadline,
    fillStall: limits.fillStall,
    answerTime: limits.answerTime,
    caches,
    inFlight,
    telemetry,
  })

  const followed: Record<string, FollowedFiles> = {}
  let stopping = false
  const open: Listeners[] = []
  const readiness = () => {
    const isListening = open.length > 0 && open.every((listeners) => listeners.isListening())
    return readinessOf({ stopping, isListening, cache, upstreams, followed })
  }
  const admin = await explain('admin', async () =>
    listenAdmin({ ...binding(config.admin), readiness, telemetry }),
  )
  const handler = await createApi({
    hosts: config.tls === undefined ? [...config.hosts, config.listen.host] : undefined,
    registry,
    auth,
    telemetry,
    sendfile: config.sendfile,
    memory: inFlight,
    answerTime: limits.answerTime,
  })
  const api = await explain('listen', () =>
    listen({
      ...binding(config.listen),
      handler,
      tls,
      maxConnections: limits.connections,
      memory: inFlight,
    }),
  ).catch(async (error: unknown) => {
    await admin.close(0)
    throw error
  })
  const mirrors = await openMirrors({ config, registry, memory: inFlight, telemetry }).catch(
    async (error: unknown) => {
      await Promise.all([api.close(0), admin.close(0)])
      throw error
    },
  )
  open.push(api, ...mirrors)
  Object.assign(
    followed,
    follow({ auth, api, htpasswdFiles, htpasswd, tlsFiles, keyPair, telemetry }),
  )

  return {
    api,
    mirrors,
    admin,
    telemetry,
    stop: async (now) => {
      stopping = true
      for (const listeners of open) listeners.drain()
      await sleep(now ? 0 : shutdown.delay)
      await Promise.all(open.map((listeners) => listeners.close(shutdown.deadline)))
      await registry.close()
      await cache.close()
      await Promise.all(
        [...Object.values(followed), ...upstreams.map(({ remote }) => remote)].map((part) =>
          part.close(),
        ),
      )
      await admin.close(0)
    },
  }
}

function watchMemory({ caches, inFlight }: Memory, { metrics }: Telemetry): void {
  metrics.memoryLimit.set({ use: 'caches' }, caches.max)
  metrics.memoryLimit.set({ use: 'in_flight' }, inFlight.max)
  metrics.onScrape(() => {
    metrics.memory.set({ use: 'caches' }, caches.used())
    metrics.memory.set({ use: 'in_flight' }, inFlight.used())
  })
}

/** Eviction would delete what is hosted, and the next start would take it for cached. */
async function assertApart(hosted: string, cache: string): Promise<void> {
  if (await overlap(hosted, cache))
    throw new Error(
      `${hosted} and the cache's directory ${cache} are one, or one is below the other; choose directories that are apart`,
    )
}

type FollowOptions = {
  readonly auth: Auth
  readonly api: Listeners
  readonly htpasswdFiles: readonly string[]
  readonly htpasswd: readonly string[]
  readonly tlsFiles: readonly string[]
  readonly keyPair: readonly string[]
  readonly telemetry: Telemetry
}

function follow({
  auth,
  api,
  htpasswdFiles,
  htpasswd,
  tlsFiles,
  keyPair,
  telemetry,
}: FollowOptions): Record<string, FollowedFiles> {
  const { log } = telemetry
  const users = followFiles({
    files: htpasswdFiles,
    initial: htpasswd,
    use: ([text = '']) => auth.reload(text),
    log,
  })
  const certificate = followFiles({
    files: tlsFiles,
    initial: keyPair,
    use: (texts) => {
      const pair = parseKeyPair(tlsFiles, texts)
      if (pair !== undefined) api.setKeyPair(pair)
    },
    log,
  })
  telemetry.metrics.onScrape(() => telemetry.metrics.htpasswdStale.set(users.isFresh() ? 0 : 1))
  return {
    ...(htpasswdFiles.length > 0 && { users }),
    ...(tlsFiles.length > 0 && { certificate }),
  }
}

type ReadinessOptions = {
  readonly stopping: boolean
  /** Whether the registry's own port is open: the admin address answers before it is. */
  readonly isListening: boolean
  readonly cache: BlobCache
  readonly upstreams: readonly UpstreamOptions[]
  readonly followed: Readonly<Record<string, FollowedFiles>>
}

/**
 * Ready as long as it accepts requests: with an upstream or the disk gone the cache, or the
 * upstream, still serves.
 */
function readinessOf(options: ReadinessOptions): Readiness {
  const { stopping, isListening, cache, upstreams, followed } = options
  const files = Object.entries(followed).map(([name, { isFresh }]) => [
    name,
    isFresh() ? 'ok' : 'the file cannot be used; what it said before is in force',
  ])
  return {
    ready: isListening && !stopping,
    parts: {
      server: stopping ? 'shutting down' : isListening ? 'ok' : 'the registry does not listen',
      cache: cache.trouble() ?? 'ok',
      ...Object.fromEntries(files),
      ...Object.fromEntries(
        upstreams.map(({ upstream, remote }) => [`upstream ${upstream}`, remote.trouble() ?? 'ok']),
      ),
    },
  }
}

function binding(address: Loaded['config']['listen']) {
  return { hosts: listenHosts(address), port: address.port }
}

function readAll(files: readonly string[]): Promise<string[]> {
  return Promise.all(files.map((file) => readRegularFile(file)))
}
