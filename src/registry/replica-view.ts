import type { Registry } from './repository.ts'

/** The registry for its other replicas: what they ask for is not asked for at another replica again. */
export function createReplicaView(registry: Registry): Registry {
  return {
    ...registry,
    resolve: (name) => {
      const resolved = registry.resolve(name)
      const { repository } = resolved
      const blob: typeof repository.blob = (digest, how) =>
        repository.blob(digest, { ...how, isForwarded: true })
      return { ...resolved, repository: { ...repository, blob, redirect: undefined } }
    },
  }
}
