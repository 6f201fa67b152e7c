import type { RepositoryName } from '../oci/reference.ts'
import type { Fills } from './fills.ts'
import type { Listings } from './listings.ts'
import type { Permissions } from './permissions.ts'
import type { ProxiedManifests } from './proxied-manifests.ts'
import type { Change } from './shared-manifests.ts'

type Changed = Pick<ProxiedManifests, 'addPushed' | 'remove' | 'removeTag'>

type Announced<Manifests> = {
  readonly manifests: Manifests
  readonly listings: Pick<Listings, 'forget'>
}

/**
 * The other replicas learn what is pushed and deleted here, before the client gets its answer. The danger: one that has
 * learned it asks this one for a list. So this one forgets its lists first. The others get the notice even if this one
 * fails to store the change: the upstream has changed.
 */
export function announceChanges<Manifests extends Changed>(
  { manifests, listings }: Announced<Manifests>,
  tell: (name: RepositoryName, change: Change) => Promise<void>,
): Manifests {
  const announce = async (
    name: RepositoryName,
    change: Change,
    changing: Promise<void>,
  ): Promise<void> => {
    try {
      await changing
    } finally {
      listings.forget(name)
      await tell(name, change)
    }
  }

  return {
    ...manifests,
    addPushed: (name, pushed) => {
      const change = { isDeleted: false, tags: pushed.tags, digest: pushed.digest }
      return announce(name, change, manifests.addPushed(name, pushed))
    },
    remove: (name, digest) =>
      announce(name, { isDeleted: true, tags: [], digest }, manifests.remove(name, digest)),
    removeTag: (name, tag) =>
      announce(name, { isDeleted: true, tags: [tag] }, manifests.removeTag(name, tag)),
  } satisfies Manifests
}

type Learning = {
  readonly manifests: Pick<ProxiedManifests, 'expire' | 'remove' | 'removeTag'>
  readonly listings: Pick<Listings, 'forget'>
  readonly permissions: Pick<Permissions, 'forgetAbsences'>
  readonly fills: Pick<Fills, 'forgetAbsences'>
}

/** What another replica has pushed or deleted. The blobs of what was pushed were pushed before. */
export async function learnChange(
  { manifests, listings, permissions, fills }: Learning,
  name: RepositoryName,
  { isDeleted, tags, digest }: Change,
): Promise<void> {
  if (!isDeleted) {
    manifests.expire(name, tags, digest)
    permissions.forgetAbsences(name)
    fills.forgetAbsences(name)
  } else {
    for (const tag of tags) await manifests.removeTag(name, tag)
    if (digest !== undefined) await manifests.remove(name, digest)
  }
  listings.forget(name)
}
