import { stringify, type TomlTable, type TomlValue } from 'smol-toml'
import { originOf, type RegistryHost, type Server } from './addresses.ts'
import { parseTable } from './toml.ts'

/** The name of our certificate authority's file, which no others have. */
export const authorityFile = 'berth-ca.crt'

type Ours = {
  readonly server: Server
  /** Whether `authorityFile` lies beside it. */
  readonly hasAuthority: boolean
  /** How long to wait for a connection, such as `200ms`. containerd 1 ignores it. */
  readonly dialTimeout: string
}

/**
 * `hosts.toml` for images that name us. containerd goes on from a `[host]` to the server, and without
 * one to localhost by TLS, unverified; so we are the server as well, but only for pushes, and are not
 * asked everything twice. Without a `[host]`, containerd 1.6 does not understand the file.
 */
export function ownHosts(ours: Ours): string {
  const { origin } = ours.server
  return stringify({
    server: origin,
    ...hostFor(['push'], ours),
    host: { [origin]: hostFor(['pull', 'resolve'], ours) },
  })
}

/**
 * `hosts.toml` for images of another registry: we are asked first, then those that `prior`, which was
 * there before, asks, or the registry itself.
 */
export function mirrorHosts(registry: RegistryHost, ours: Ours, prior = ''): string {
  const { host, ...rest } = parseTable(prior) ?? {}
  const theirs = typeof host === 'object' && !Array.isArray(host) ? Object.entries(host) : []
  const others = theirs.filter(([name]) => name !== ours.server.origin)
  return stringify({
    server: originOf(registry),
    ...rest,
    host: Object.fromEntries<TomlValue>([
      [ours.server.origin, hostFor(['pull', 'resolve'], ours)],
      ...others.map(([name, value]): [string, TomlValue] => [name, value as TomlValue]),
    ]),
  })
}

/** A drop-in of `registries.conf` for images that name us. */
export function ownRegistry(registry: RegistryHost, { host, isTls }: Server): string {
  return stringify({
    registry: [{ prefix: registry, location: host, ...(!isTls && { insecure: true }) }],
  })
}

/**
 * The same for another registry's: a mirror's place is a path there, so it is the name that Berth has
 * an upstream under.
 */
export function mirrorRegistry(registry: RegistryHost, { host, isTls }: Server): string {
  const mirror = { location: `${host}/${registry}`, ...(!isTls && { insecure: true }) }
  return stringify({ registry: [{ prefix: registry, location: registry, mirror: [mirror] }] })
}

function hostFor(capabilities: readonly string[], { hasAuthority, dialTimeout }: Ours): TomlTable {
  return {
    capabilities: [...capabilities],
    ...(hasAuthority && { ca: authorityFile }),
    dial_timeout: dialTimeout,
  }
}
