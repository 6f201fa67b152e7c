import { stringify, type TomlTable, type TomlValue } from 'smol-toml'
import { originOf, type RegistryHost, type Server } from './addresses.ts'
import { parseTable } from './toml.ts'

/** The file name of Berth's certificate authority, which no other program uses. */
export const authorityFile = 'berth-ca.crt'

type BerthServer = {
  readonly server: Server
  /** Whether `authorityFile` is in the same directory. */
  readonly hasAuthority: boolean
  /** How long to wait for a connection, such as `200ms`. containerd 1 ignores it. */
  readonly dialTimeout: string
}

/**
 * `hosts.toml` for images with Berth's name. After the `[host]` entries containerd tries the server, and by
 * default localhost over unverified TLS; so Berth is the server as well, with the push capability only, to avoid
 * that every request is sent twice. containerd 1.6 does not accept a file without a `[host]`.
 */
export function ownHosts(written: BerthServer): string {
  const { origin } = written.server
  return stringify({
    server: origin,
    ...hostFor(['push'], written),
    host: { [origin]: hostFor(['pull', 'resolve'], written) },
  })
}

/**
 * `hosts.toml` for images of another registry: Berth first, then the hosts in `prior`, the file that was
 * there before, or the registry itself.
 */
export function mirrorHosts(registry: RegistryHost, written: BerthServer, prior = ''): string {
  const { host, ...rest } = parseTable(prior) ?? {}
  const existing = typeof host === 'object' && !Array.isArray(host) ? Object.entries(host) : []
  const others = existing.filter(([name]) => name !== written.server.origin)
  return stringify({
    server: originOf(registry),
    ...rest,
    host: Object.fromEntries<TomlValue>([
      [written.server.origin, hostFor(['pull', 'resolve'], written)],
      ...others.map(([name, value]): [string, TomlValue] => [name, value as TomlValue]),
    ]),
  })
}

/** A drop-in of `registries.conf` for images with Berth's name. */
export function ownRegistry(registry: RegistryHost, { host, isTls }: Server): string {
  return stringify({
    registry: [{ prefix: registry, location: host, ...(!isTls && { insecure: true }) }],
  })
}

/**
 * The same for images of another registry. A mirror's location is a path there: the prefix of
 * Berth's upstream.
 */
export function mirrorRegistry(registry: RegistryHost, { host, isTls }: Server): string {
  const mirror = { location: `${host}/${registry}`, ...(!isTls && { insecure: true }) }
  return stringify({ registry: [{ prefix: registry, location: registry, mirror: [mirror] }] })
}

function hostFor(
  capabilities: readonly string[],
  { hasAuthority, dialTimeout }: BerthServer,
): TomlTable {
  return {
    capabilities: [...capabilities],
    ...(hasAuthority && { ca: authorityFile }),
    dial_timeout: dialTimeout,
  }
}
