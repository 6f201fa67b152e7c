import { statfs } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { RunId } from '../store/store.ts'
import { withClaim } from './claims.ts'
import type { CollectionParts } from './collection-parts.ts'
import type { KeepReasons } from './keep-reasons.ts'
import type { Report } from './step.ts'

export type TrashQuestions = {
  readonly keepReasons: KeepReasons
  readonly linkedIn: (digest: Digest) => Promise<readonly RepositoryName[]>
}

type EmptyingOptions = {
  readonly report: Report
  /** Only while the disk is nearly full. */
  readonly underPressureOnly: boolean
  /** Called when there are blobs to delete. */
  readonly questions: () => Promise<TrashQuestions>
}

/** Deletes runs whose second grace period is over and, while the disk is nearly full, the oldest. */
export async function emptyTrash(
  parts: CollectionParts,
  { report, underPressureOnly, questions }: EmptyingOptions,
): Promise<void> {
  const { store, settings, now } = parts
  const oldestFirst = (await store.trash.runs()).toReversed()
  let asked: Promise<TrashQuestions> | undefined
  for (const run of oldestFirst) {
    const isOld = run.at + settings.trash <= now() && !underPressureOnly
    if (!isOld && !(await isNearlyFull(parts))) return
    const { hasTagInUse, hasBlobs } = await lookInto(parts, run.run)
    if (hasTagInUse) continue
    if (hasBlobs) {
      asked ??= questions()
      await releaseBlobs(parts, run.run, await asked)
    }
    await store.trash.free({ run: run.run })
    report({ step: 'free', reason: isOld ? 'age' : 'disk-pressure', ...run })
  }
}

/**
 * A deleted tag that a workload names is served from its history in the trash until the workload is gone
 * (registry/hosted): without it, the pod could not start on another node.
 */
async function lookInto({ store, inUse }: CollectionParts, run: RunId) {
  const isKnown = inUse.problem() === undefined
  let [hasTagInUse, hasBlobs] = [false, false]
  for await (const entry of store.trash.entries(run)) {
    if (entry.kind === 'blob') hasBlobs = true
    if (entry.kind !== 'tag' || hasTagInUse) continue
    const { name, tag } = entry
    const isCurrent = (await store.links.tag(name, tag)) !== undefined
    hasTagInUse = !isCurrent && (!isKnown || inUse.hasTag(name, tag))
  }
  return { hasTagInUse, hasBlobs }
}

/**
 * 1. Restore what is needed after all: by an image that was restored, for example.
 * 2. Remove the links of the other blobs: a link to a deleted blob would look like lost data.
 * 3. Look again. A client that found a link before 2 has restored the blob, which is then not in the
 *    trash any more: it gets its links back.
 *
 * Then the run can be deleted.
 */
async function releaseBlobs(
  parts: CollectionParts,
  run: RunId,
  { keepReasons, linkedIn }: TrashQuestions,
): Promise<void> {
  const { store, index, leases } = parts
  const unlink = async (digest: Digest, names: readonly RepositoryName[]): Promise<void> => {
    for (const name of names) await store.links.removeBlob(name, digest, run)
  }
  const unlinked = new Map<Digest, readonly RepositoryName[]>()
  for (const digest of await blobsIn(parts, run)) {
    const isNeeded = (await keepReasons(digest)) !== undefined
    const names = isNeeded ? [] : await linkedIn(digest)
    const removed = isNeeded
      ? 'leased'
      : await withClaim(leases, digest, () => unlink(digest, names))
    if (removed === 'leased') await store.trash.restoreBlob(digest)
    else unlinked.set(digest, names)
  }
  const stillThere = new Set(await blobsIn(parts, run))
  for (const [digest, names] of unlinked) {
    if (stillThere.has(digest)) index.apply(names.map((name) => ({ kind: 'unlink', name, digest })))
    else for (const name of names) await store.links.addBlob(name, digest)
  }
}

async function blobsIn({ store }: CollectionParts, run: RunId): Promise<readonly Digest[]> {
  const digests: Digest[] = []
  for await (const digest of store.trash.blobs(run)) digests.push(digest)
  return digests
}

/** A bucket has room, whatever the disk of this replica has. */
async function isNearlyFull({ root, isShared, settings }: CollectionParts): Promise<boolean> {
  if (isShared) return false
  const { bavail, bsize } = await statfs(root)
  return bavail * bsize < settings.minimumFree
}
