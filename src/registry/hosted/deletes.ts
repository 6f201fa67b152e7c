import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseManifestDetails } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { RunId } from '../../store/store.ts'
import { assertPrecondition } from '../precondition.ts'
import type { Precondition } from '../repository.ts'
import { createDeletionRuns } from './deletion-runs.ts'
import { inParallel } from './in-parallel.ts'
import type { HostedParts } from './parts.ts'
import type { ImagesInUse } from './reading.ts'
import type { References } from './references.ts'

/** Removes on request. Everything goes to the trash. False: it was not there. */
export interface Deletes {
  /** @throws RegistryError DENIED, status 412: the precondition does not hold. */
  tag(name: RepositoryName, tag: Tag, precondition?: Precondition): Promise<boolean>
  /**
   * With the tags that point to it.
   * @throws RegistryError UNSUPPORTED: a workload uses it; an index references it, and it has no subject. Clients delete a
   * signature first, and then the line in the index of the fallback tag (distribution-spec, "Deleting
   * Manifests").
   */
  manifest(name: RepositoryName, digest: Digest): Promise<boolean>
  /** As `tag`, only if it points to the digest. */
  untag(removal: Removal & { readonly tag: Tag }): Promise<boolean>
  /**
   * As `manifest`, only if nothing needs it: it has no tag, no manifest references it, and it is not
   * leased.
   */
  retire(removal: Removal): Promise<boolean>
  /** Only from this repository. @throws RegistryError UNSUPPORTED: a manifest of it references the blob. */
  blob(name: RepositoryName, digest: Digest): Promise<boolean>
}

/** A removal by the rules of retention, as part of a run. */
type Removal = { readonly name: RepositoryName; readonly digest: Digest; readonly run: RunId }

type Untagging = { readonly name: RepositoryName; readonly tag: Tag; readonly run: RunId }

type DeletesOptions = HostedParts & {
  readonly inUse: ImagesInUse
  readonly references: References
  /** By the index, if it is verified: for retention, which has it compared first. */
  readonly knownReferences: References
  /** Other processes write to the store as well. */
  readonly isShared: boolean
  /** The repository has one manifest less. */
  readonly onRemoved: () => void
}

export function createDeletes(options: DeletesOptions): Deletes {
  const { store, index, manifests, leases, quotas, locks, references, inUse } = options
  const { links } = store
  const runOf = createDeletionRuns({ isJoined: options.isShared, now: options.now })

  const assertUnreferenced = async (name: RepositoryName, digest: Digest): Promise<void> => {
    const by = await references.find(name, digest)
    if (by === undefined) return
    throw new RegistryError('UNSUPPORTED', {
      message: `cannot delete ${digest} from ${name}: its manifest ${by} references it`,
      advice: 'delete that manifest first',
    })
  }

  /** By its digest, or by a tag, also by one that was deleted: it is still served to the workload. */
  const assertUnused = async (name: RepositoryName, digest: Digest): Promise<void> => {
    const pointsTo = async (tag: Tag) =>
      ((await links.tag(name, tag)) ?? (await links.tagHistory(name, tag))[0])?.digest
    const byTag = await inParallel(inUse.tagsOf(name), pointsTo)
    if (!inUse.hasDigest(digest) && !byTag.includes(digest)) return
    throw new RegistryError('UNSUPPORTED', {
      message: `cannot delete ${digest} from ${name}: a workload uses it`,
      advice: 'delete the workload first, or delete only the tag',
    })
  }

  /** A manifest that cannot be read can be deleted. */
  const hasSubject = async (name: RepositoryName, digest: Digest): Promise<boolean> => {
    const known = await manifests.stored(name, digest).catch(() => undefined)
    return known !== undefined && parseManifestDetails(known.bytes).subject !== undefined
  }

  /** `isRight`: whether the tag may be removed that points to a digest; it may throw. */
  const untag = (
    { name, tag, run }: Untagging,
    isRight?: (digest: Digest | undefined) => boolean,
  ): Promise<boolean> =>
    locks.exclusive(`${name}:${tag}`, async () => {
      if (isRight !== undefined && !isRight((await links.tag(name, tag))?.digest)) return false
      if (!(await links.untag(name, tag, run))) return false
      index?.apply([{ kind: 'tag-removed', name, tag }])
      return true
    })

  const untagAll = async ({ name, digest, run }: Removal, tags: readonly Tag[]): Promise<void> => {
    await inParallel(tags, async (tag) => {
      const isRight = (current: Digest | undefined) => current === digest
      if (isRight((await links.tag(name, tag))?.digest)) await untag({ name, tag, run }, isRight)
    })
  }

  const isTagged = async (name: RepositoryName, digest: Digest): Promise<boolean> => {
    const tags = (await links.tags(name)) ?? []
    const found = await inParallel(tags, (tag) => links.tag(name, tag))
    return found.some((link) => link?.digest === digest)
  }

  const removeManifest = async ({ name, digest, run }: Removal): Promise<void> => {
    manifests.forget(name, digest)
    await links.removeManifest(name, digest, run)
    // Read again by a request in between.
    manifests.forget(name, digest)
    index?.apply([{ kind: 'manifest-removed', name, digest }])
    quotas.freed(name)
    options.onRemoved()
  }

  return {
    tag: (name, tag, precondition) => {
      const run = runOf(name, [tag])
      if (precondition === undefined) return untag({ name, tag, run })
      return untag({ name, tag, run }, (current) => {
        if (current === undefined) return false
        assertPrecondition(precondition, { name, reference: { tag }, current })
        return true
      })
    },
    manifest: (name, digest) =>
      locks.exclusive(name, async () => {
        if (!(await links.hasManifest(name, digest))) return false
        await assertUnused(name, digest)
        if (!(await hasSubject(name, digest))) await assertUnreferenced(name, digest)
        const tags = await references.tags(name, digest)
        const removal = { name, digest, run: runOf(name, [digest, ...tags]) }
        await untagAll(removal, tags)
        await removeManifest(removal)
        return true
      }),
    untag: ({ name, tag, digest, run }) =>
      untag({ name, tag, run }, (current) => current === digest),
    retire: (removal) =>
      locks.exclusive(removal.name, async () => {
        const { name, digest } = removal
        if (!(await links.hasManifest(name, digest)) || (await isTagged(name, digest))) return false
        const by = await options.knownReferences.find(name, digest)
        const isReferenced = by !== undefined
        if (isReferenced || leases.isFresh(digest)) return false
        await removeManifest(removal)
        return true
      }),
    blob: (name, digest) =>
      locks.exclusive(name, async () => {
        if (!(await links.hasBlob(name, digest))) return false
        await assertUnreferenced(name, digest)
        await links.removeBlob(name, digest, runOf(name, [digest]))
        index?.apply([{ kind: 'unlink', name, digest }])
        quotas.freed(name)
        return true
      }),
  }
}
