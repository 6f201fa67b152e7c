import type { Identity } from '../auth/auth.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Inventory, Resolved } from '../registry/registry.ts'
import type { Tags } from './answers.ts'
import type { UsesOptions } from './uses.ts'

type Running = Tags['tags'][number]['running']

type Options = UsesOptions & { readonly inventory: Inventory }

type Asked = {
  readonly identity: Identity
  readonly resolved: Resolved
  readonly tag: Tag
  /** What the tag points to. */
  readonly digest: Digest
}

/** Images of a tag for which indexes are looked up. */
const maxDigests = 20

/**
 * What runs under a tag, if something else than what it points to does. Some runtimes (CRI-O) report the image
 * of the platform instead of the index: then it counts as the index.
 */
export function createRunning({ workloads, access, inventory }: Options) {
  return async ({ identity, resolved, tag, digest }: Asked): Promise<Running> => {
    const { name } = resolved
    if (!access.seesWorkloads(identity, resolved)) return []
    const found = workloads.runningOf(name, tag).slice(0, maxDigests)
    if (found.every((each) => each.digest === digest)) return []
    const pods = new Map<Digest, number>()
    for (const running of found) {
      const meant = (await isPartOf(name, running.digest, digest)) ? digest : running.digest
      pods.set(meant, (pods.get(meant) ?? 0) + running.pods)
    }
    const others = [...pods.keys()].some((each) => each !== digest)
    return others ? [...pods].map(([each, count]) => ({ digest: each, pods: count })) : []
  }

  async function isPartOf(name: RepositoryName, digest: Digest, index: Digest): Promise<boolean> {
    return (await inventory.of(name).image(digest))?.parents.includes(index) === true
  }
}
