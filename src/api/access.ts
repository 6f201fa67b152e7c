import type { Action, Auth, Identity } from '../auth/auth.ts'
import type { SiteCall } from '../http/http.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { Registry, Resolved } from '../registry/registry.ts'

/** Who may see and do what. */
export interface Access {
  /**
   * The repository of a request.
   * @throws RegistryError as for `/v2/`: NAME_INVALID, NAME_UNKNOWN, UNAUTHORIZED, DENIED.
   */
  resolve(request: Asked, action?: Action): Resolved
  mayPull(identity: Identity, name: RepositoryName): boolean
  may(identity: Identity, action: Action, resolved: Pick<Resolved, 'name' | 'anonymous'>): boolean
  /** Whether totals say nothing about repositories that the client may not see. */
  seesAll(identity: Identity): boolean
  /** @throws RegistryError DENIED */
  assertSeesAll(identity: Identity): void
  /** Whether the client may know which workloads use what is in a repository. */
  seesWorkloads(identity: Identity, resolved: Pick<Resolved, 'name' | 'anonymous'>): boolean
}

type Asked = Pick<SiteCall, 'authorize'> & {
  readonly identity: Identity
  readonly texts: { readonly name: string }
}

export function createAccess(registry: Registry, auth: Auth): Access {
  const may: Access['may'] = (identity, action, { name, anonymous }) =>
    auth.allows(identity, action, name, anonymous)
  const seesAll = (identity: Identity): boolean => auth.extentOf(identity, 'pull') === 'all'

  return {
    resolve: ({ identity, authorize, texts }, action = 'pull') => {
      const resolved = registry.resolve(parseRepositoryName(texts.name))
      authorize(identity, 'pull', resolved)
      if (action !== 'pull') authorize(identity, action, resolved)
      return resolved
    },
    mayPull: (identity, name) => {
      try {
        return may(identity, 'pull', registry.resolve(name))
      } catch {
        // In the cache, but no longer in the configuration.
        return false
      }
    },
    may,
    seesAll,
    assertSeesAll: (identity) => {
      if (seesAll(identity)) return
      throw new RegistryError('DENIED', {
        message: 'this needs access to all repositories',
        advice: 'it takes an access rule for ** with the action pull',
      })
    },
    seesWorkloads: (identity, resolved) => seesAll(identity) || may(identity, 'delete', resolved),
  }
}

/** What the client may change in a repository. */
export function rightsOf(access: Access, identity: Identity, resolved: Resolved) {
  const canWrite = resolved.writable !== undefined
  return {
    push: canWrite && access.may(identity, 'push', resolved),
    delete: canWrite && access.may(identity, 'delete', resolved),
    readOnly: resolved.readOnly,
    cache: !resolved.isHosted && access.may(identity, 'delete', resolved),
  }
}
