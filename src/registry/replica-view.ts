import { isThrottled, RegistryError } from '../oci/errors.ts'
import type { Registry } from './repository.ts'

/**
 * The registry for its other replicas: what they ask for is not asked for at another replica again, and they
 * learn when the upstream throttles (429), so that they do not ask it as well.
 */
export function createReplicaView(registry: Registry): Registry {
  return {
    ...registry,
    resolve: (name) => {
      const resolved = registry.resolve(name)
      const { repository } = resolved
      const blob: typeof repository.blob = (digest, how) =>
        repository.blob(digest, { ...how, isForwarded: true }).catch(asThrottle)
      const manifest: typeof repository.manifest = (reference, how) => {
        const found = repository.manifest(reference, { ...how, isForwarded: true })
        return found instanceof Promise ? found.catch(asThrottle) : found
      }
      return {
        ...resolved,
        repository: { ...repository, blob, manifest, known: undefined, redirect: undefined },
      }
    },
  }
}

function asThrottle(error: unknown): never {
  throw isThrottled(error)
    ? new RegistryError('TOOMANYREQUESTS', {
        message: error.message,
        retryAfter: error.retryAfter ?? 1,
      })
    : error
}
