import { createHash } from 'node:crypto'
import type { Ambient } from '../config/config.ts'
import type { Credentials } from '../credentials/credentials.ts'
import type { CacheMemory, Reservations } from '../memory/memory.ts'
import type { Outbound } from '../outbound/outbound.ts'
import type { UpstreamOptions } from '../registry/registry.ts'
import { createRemote, type Remote, type RemoteOptions } from '../remote/remote.ts'
import type { DiskCache } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { nameOf, openCredentials, type Upstream } from './upstream-credentials.ts'

type UpstreamContext = {
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly cache: DiskCache
  readonly version: string
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
}

/** What it takes to pull through one configured upstream. */
export function createUpstream(
  config: Upstream,
  { ambient, outbound, cache, version, caches, inFlight, telemetry }: UpstreamContext,
): UpstreamOptions {
  return {
    ...config,
    upstream: nameOf(config),
    remote: openRemote(config, {
      outbound,
      version,
      caches,
      inFlight,
      telemetry,
      credentials: openCredentials(config, { ambient, outbound, telemetry }),
    }),
    links: cache.links(scopeOf(config)),
    anonymous: config.anonymous === 'pull' || config.credentials.type === 'anonymous',
  }
}

type RemoteContext = Omit<UpstreamContext, 'cache' | 'ambient'> & {
  readonly credentials: Credentials
  /** Is told of every request. */
  readonly observe?: RemoteOptions['observe']
}

/** One configured upstream, to be asked. */
export function openRemote(config: Upstream, { version, ...context }: RemoteContext): Remote {
  return createRemote({
    ...config,
    ...context,
    upstream: nameOf(config),
    userAgent: `berth/${version}`,
  })
}

/**
 * What one upstream says of its repositories, to one identity, holds for no other: who configures
 * another gets another scope. The host is in front for whoever looks.
 */
function scopeOf({ prefix, url, credentials }: Upstream): string {
  const who = JSON.stringify({ ...credentials, password: undefined, passwordFile: undefined })
  const hash = createHash('sha256').update([prefix, url, who].join('\n')).digest('hex')
  const host = new URL(url).hostname.replace(/[^a-z0-9.-]/g, '') || 'upstream'
  return `${host}_${hash.slice(0, 12)}`
}
