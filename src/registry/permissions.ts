import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError, withoutCause } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { LinkStore } from '../store/store.ts'

/** How long "not in this repository" is believed, and how long a failure to ask, in milliseconds. */
const absenceLife = 5000
const failureLife = 2000

type Context = { readonly name: RepositoryName; readonly digest: Digest }
type Stat = { readonly size: number | undefined }

/**
 * Which blobs an upstream's repositories are known to have. Bytes are shared by digest, the right
 * to them is not: a blob is served under a name only when the upstream has said, once, that this
 * repository has it.
 */
export interface Permissions {
  known(name: RepositoryName, digest: Digest): Promise<boolean>
  /** Asks the upstream, and remembers its yes. */
  stat(name: RepositoryName, digest: Digest): Promise<Stat | undefined>
  grant(name: RepositoryName, digest: Digest): Promise<void>
}

type PermissionsOptions = {
  readonly links: LinkStore
  readonly remote: Remote
  readonly caches: CacheMemory
}

export function createPermissions({ links, remote, caches }: PermissionsOptions): Permissions {
  const asked = caches.create<Stat | 'absent' | RegistryError, Context>({
    ttl: absenceLife,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options, context: { name, digest } }) => {
      try {
        return (await remote.statBlob(name, digest)) ?? 'absent'
      } catch (error) {
        if (!isRegistryError(error)) throw error
        options.ttl = failureLife
        return withoutCause(error)
      }
    },
  })
  const keyOf = (name: RepositoryName, digest: Digest) => `${name}@${digest}`

  const grant = async (name: RepositoryName, digest: Digest): Promise<void> => {
    // A disk that fails costs the memory of it after the next start, and nothing now.
    await links.addBlob(name, digest).catch(() => {})
  }

  return {
    grant,
    known: links.hasBlob,
    stat: async (name, digest) => {
      const stat = await asked.fetch(keyOf(name, digest), { context: { name, digest } })
      if (stat === undefined || stat === 'absent') return undefined
      if (stat instanceof RegistryError) throw stat
      await grant(name, digest)
      return stat
    },
  }
}
