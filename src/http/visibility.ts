import type { Auth, Identity } from '../auth/auth.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Registry } from '../registry/registry.ts'

/** Whether the identity may pull from a repository other than the one of its request. */
export type Visibility = (identity: Identity, name: RepositoryName) => boolean

export function createVisibility(registry: Registry, auth: Auth): Visibility {
  return (identity, name) => {
    try {
      return auth.allows(identity, 'pull', name, registry.resolve(name).anonymous)
    } catch {
      // In the cache, but no longer in the configuration.
      return false
    }
  }
}
