import type { Ambient, Config } from '../../config/config.ts'
import {
  type Credentials,
  createCredentials,
  type WorkloadToken,
} from '../../credentials/credentials.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { credentialsOptions } from './credentials-options.ts'

export type Upstream = Config['upstreams'][number]

type Context = {
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly telemetry: Telemetry
  readonly workloadToken?: WorkloadToken | undefined
}

/** The name of an upstream in logs, metrics and messages. */
export function nameOf({ prefix, url }: Pick<Upstream, 'prefix' | 'url'>): string {
  return prefix || new URL(url).host
}

/** The credentials of one configured upstream. */
export function openCredentials(
  config: Upstream,
  { ambient, outbound, telemetry, workloadToken }: Context,
): Credentials {
  const { host, origin } = new URL(config.url)
  return createCredentials(credentialsOptions(config.credentials, ambient), {
    host,
    origin,
    outbound,
    certificateAuthorities: config.certificateAuthorities,
    upstream: nameOf(config),
    telemetry,
    workloadToken,
  })
}

/** Credentials of a registry that accepts a token. */
export function openToken(
  config: Upstream,
  token: {
    readonly token?: string
    readonly tokenFile?: string
    readonly request?: () => Promise<string>
  },
  { outbound, telemetry }: Context,
): Credentials {
  const { host } = new URL(config.url)
  const options = { type: 'registry-token', ...token } as const
  return createCredentials(options, { host, outbound, upstream: nameOf(config), telemetry })
}

/** Google's tokens for pulls cannot push. */
export function withPushAccess(config: Upstream): Upstream {
  const { credentials, push } = config
  if (!push || credentials.type !== 'google') return config
  return { ...config, credentials: { ...credentials, access: 'push' } }
}
