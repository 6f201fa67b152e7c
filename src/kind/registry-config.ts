import { stringify } from 'yaml'
import type { Upstream } from './upstreams.ts'

/** The port of the registry in its container. */
export const registryPort = 30026

/**
 * The configuration of Berth in its container: the registries of the world below their host names, and everything else hosted.
 * Docker publishes the port on this machine's loopback address only, so whoever can connect may push, as with the registries
 * that local clusters usually have.
 */
export function registryConfig(upstreams: readonly Upstream[], maxCacheSize: string): string {
  const proxied = upstreams.flatMap(({ prefix }) => [prefix, `${prefix}/**`])
  const everyone = { users: ['*'], repositories: ['**'] }
  return stringify(
    {
      listen: `0.0.0.0:${registryPort}`,
      auth: {
        anonymous: 'rules',
        access: [
          { ...everyone, actions: ['pull'] },
          { ...everyone, except: proxied, actions: ['push', 'delete'] },
        ],
      },
      storage: { cache: { maxSize: maxCacheSize } },
      upstreams,
      hosted: [{ prefix: '' }],
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  )
}
