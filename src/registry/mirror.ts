import { RegistryError } from '../oci/errors.ts'
import { joinName, nameBelow } from '../oci/reference.ts'
import type { Registry } from './repository.ts'

/**
 * The registry as the mirror of one upstream, for clients that send neither the registry (`?ns=`) nor
 * its prefix: dockerd requests `library/busybox` from a mirror of Docker Hub. Names are relative to
 * the prefix; other repositories are not accessible.
 */
export function createMirror(registry: Registry, prefix: string): Registry {
  return {
    ...registry,
    resolve: (name, namespace) => {
      const resolved =
        namespace === undefined
          ? registry.resolve(joinName(prefix, name))
          : registry.resolve(name, namespace)
      if (nameBelow(prefix, resolved.name) !== undefined)
        // An upload's location would have to be a name of the mirror.
        return { ...resolved, writable: undefined, readOnly: 'this address is a mirror' }
      throw new RegistryError('NAME_UNKNOWN', {
        message: `${resolved.name} is not in ${prefix}, the only registry that this address mirrors`,
      })
    },
    catalog: async () =>
      (await registry.catalog()).flatMap((name) => nameBelow(prefix, name) ?? []),
  }
}
