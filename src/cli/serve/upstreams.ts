import { createHash } from 'node:crypto'
import type { Ambient } from '../../config/config.ts'
import type { Credentials } from '../../credentials/credentials.ts'
import type { CacheMemory, Reservations } from '../../memory/memory.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import type { UpstreamOptions } from '../../registry/registry.ts'
import {
  createRemote,
  createTransport,
  type Remote,
  type RemoteOptions,
} from '../../remote/remote.ts'
import type { DiskCache } from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import {
  nameOf,
  openCredentials,
  type Upstream,
  withPushAccess,
} from '../credentials/upstream-credentials.ts'

type UpstreamContext = {
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly cache: DiskCache
  readonly version: string
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
}

/** One configured upstream, for the registry. */
export function createUpstream(
  config: Upstream,
  { ambient, outbound, cache, version, caches, inFlight, telemetry }: UpstreamContext,
): UpstreamOptions & { readonly url: string; readonly credentials: Credentials } {
  const credentials = openCredentials(withPushAccess(config), { ambient, outbound, telemetry })
  return {
    ...config,
    credentials,
    upstream: nameOf(config),
    remote: openRemote(config, {
      outbound,
      version,
      caches,
      inFlight,
      telemetry,
      credentials,
    }),
    links: cache.links(scopeOf(config)),
    anonymous: config.anonymous === 'pull' || config.credentials.type === 'anonymous',
  }
}

type RemoteContext = Omit<UpstreamContext, 'cache' | 'ambient'> & {
  readonly credentials: Credentials
  /** Called for each request. */
  readonly observe?: RemoteOptions['observe']
}

/** Opens the connection pool of one configured upstream. */
export function openRemote(
  config: Upstream,
  { version, outbound, ...context }: RemoteContext,
): Remote {
  return createRemote({
    ...config,
    ...context,
    upstream: nameOf(config),
    transport: createTransport({
      ...config,
      outbound,
      host: new URL(config.url).hostname,
      userAgent: `berth/${version}`,
    }),
  })
}

/**
 * Cached access and links are valid for one upstream and one configured credential: a change of either
 * starts an empty scope. Begins with the host, for people who look at the disk.
 */
function scopeOf({ prefix, url, credentials }: Upstream): string {
  const identity = JSON.stringify({ ...credentials, password: undefined, passwordFile: undefined })
  const hash = createHash('sha256').update([prefix, url, identity].join('\n')).digest('hex')
  const host = new URL(url).hostname.replace(/[^a-z0-9.-]/g, '') || 'upstream'
  return `${host}_${hash.slice(0, 12)}`
}
