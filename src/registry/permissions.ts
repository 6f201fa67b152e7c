import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError, withoutCause } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { CachedLinkStore } from '../store/store.ts'

/** How long an absence and a failed request are cached, in milliseconds. */
const absenceTtl = 5000
const failureTtl = 2000

type Context = { readonly name: RepositoryName; readonly digest: Digest }
type Stat = { readonly size: number | undefined }

/**
 * Which blobs an upstream's repositories are known to have. Repositories share stored bytes, but not
 * access: a blob is served under a name only after the upstream has confirmed once that this
 * repository has it.
 */
export interface Permissions {
  known(name: RepositoryName, digest: Digest): Promise<boolean>
  /** Requests the size from the upstream, and grants the permission if the blob exists. */
  stat(name: RepositoryName, digest: Digest): Promise<Stat | undefined>
  grant(name: RepositoryName, digest: Digest): Promise<void>
  /** The blob was deleted from the repository. */
  revoke(name: RepositoryName, digest: Digest): Promise<void>
  /** Something was pushed to the repository elsewhere: its blobs that were absent may be there. */
  forgetAbsences(name: RepositoryName): void
}

type PermissionsOptions = {
  readonly links: CachedLinkStore
  readonly remote: Remote
  readonly caches: CacheMemory
}

export function createPermissions({ links, remote, caches }: PermissionsOptions): Permissions {
  const requests = caches.create<Stat | 'absent' | RegistryError, Context>({
    ttl: absenceTtl,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options, context: { name, digest } }) => {
      try {
        return (await remote.statBlob(name, digest)) ?? 'absent'
      } catch (error) {
        if (!isRegistryError(error)) throw error
        options.ttl = failureTtl
        return withoutCause(error)
      }
    },
  })
  const keyOf = (name: RepositoryName, digest: Digest) => `${name}@${digest}`

  const grant = async (name: RepositoryName, digest: Digest): Promise<void> => {
    // What was absent may have been pushed.
    requests.delete(keyOf(name, digest))
    // When the disk fails, the permission lasts until the next start.
    await links.addBlob(name, digest).catch(() => {})
  }

  return {
    grant,
    revoke: async (name, digest) => {
      requests.delete(keyOf(name, digest))
      await links.removeBlob(name, digest)
    },
    forgetAbsences: (name) => {
      for (const [key, answer] of requests.entries())
        if (answer === 'absent' && key.startsWith(`${name}@`)) requests.delete(key)
    },
    known: links.hasBlob,
    stat: async (name, digest) => {
      const stat = await requests.fetch(keyOf(name, digest), { context: { name, digest } })
      if (stat === undefined || stat === 'absent') return undefined
      if (stat instanceof RegistryError) throw stat
      await grant(name, digest)
      return stat
    },
  }
}
