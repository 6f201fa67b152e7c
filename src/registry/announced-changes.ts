import type { RepositoryName } from '../oci/reference.ts'
import type { Listings } from './listings.ts'
import type { ProxiedManifests } from './proxied-manifests.ts'
import type { Change } from './shared-manifests.ts'

type Changed = Pick<ProxiedManifests, 'addPushed' | 'remove' | 'removeTag'>

/** The other replicas learn what is pushed and deleted here, before the client gets its answer. */
export function announceChanges<Manifests extends Changed>(
  manifests: Manifests,
  tell: (name: RepositoryName, change: Change) => Promise<void>,
): Manifests {
  return {
    ...manifests,
    addPushed: async (name, pushed) => {
      await manifests.addPushed(name, pushed)
      await tell(name, { isDeleted: false, tags: pushed.tags, digest: pushed.digest })
    },
    remove: async (name, digest) => {
      await manifests.remove(name, digest)
      await tell(name, { isDeleted: true, tags: [], digest })
    },
    removeTag: async (name, tag) => {
      await manifests.removeTag(name, tag)
      await tell(name, { isDeleted: true, tags: [tag] })
    },
  } satisfies Manifests
}

/** What another replica has pushed or deleted. */
export async function learnChange(
  { manifests, listings }: { readonly manifests: ProxiedManifests; readonly listings: Listings },
  name: RepositoryName,
  { isDeleted, tags, digest }: Change,
): Promise<void> {
  if (!isDeleted) manifests.expire(name, tags, digest)
  else {
    for (const tag of tags) await manifests.removeTag(name, tag)
    if (digest !== undefined) await manifests.remove(name, digest)
  }
  listings.forget(name)
}
