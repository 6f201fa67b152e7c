import { createHash } from 'node:crypto'
import type { Ambient, Config } from '../config/config.ts'
import { createCredentials } from '../credentials/credentials.ts'
import type { UpstreamOptions } from '../registry/registry.ts'
import { createRemote } from '../remote/remote.ts'
import { createDiskLinks } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { credentialsOptions } from './credentials-options.ts'

type Upstream = Config['upstreams'][number]

type UpstreamContext = {
  readonly ambient: Ambient
  /** The cache's directory. */
  readonly root: string
  readonly version: string
  readonly telemetry: Telemetry
}

/** What it takes to pull through one configured upstream. */
export function createUpstream(
  config: Upstream,
  { ambient, root, version, telemetry }: UpstreamContext,
): UpstreamOptions {
  const url = new URL(config.url)
  const upstream = config.prefix || url.host
  const credentials = createCredentials(credentialsOptions(config.credentials, ambient), {
    host: url.host,
    origin: url.origin,
    proxy: ambient.proxy,
    certificateAuthorities: config.certificateAuthorities,
    upstream,
    telemetry,
  })
  const remote = createRemote({
    ...config,
    upstream,
    credentials,
    proxy: ambient.proxy,
    userAgent: `berth/${version}`,
    telemetry,
  })
  return {
    ...config,
    upstream,
    remote,
    links: createDiskLinks({ root, scope: scopeOf(config) }),
    anonymous: config.anonymous === 'pull' || config.credentials.type === 'anonymous',
  }
}

/**
 * What one upstream says of its repositories, to one identity, holds for no other: who configures
 * another gets another directory. The host is in front for whoever looks.
 */
function scopeOf({ prefix, url, credentials }: Upstream): string {
  const who = JSON.stringify({ ...credentials, password: undefined, passwordFile: undefined })
  const hash = createHash('sha256').update([prefix, url, who].join('\n')).digest('hex')
  const host = new URL(url).hostname.replace(/[^a-z0-9.-]/g, '') || 'upstream'
  return `${host}_${hash.slice(0, 12)}`
}
