import type { Digest } from '../oci/digest.ts'
import type { HostedStore } from '../store/store.ts'
import { layoutReferences } from './layout-references.ts'
import type { FullMark, Report } from './step.ts'

type FullMarkOptions = {
  readonly store: HostedStore
  readonly queue: { has(digest: Digest): boolean }
  readonly report: Report
}

/**
 * Finds unreferenced and absent blobs by reading the whole layout, without the index. Deletes
 * nothing: it says where the review queue, and so the index, is wrong.
 */
export async function markAll({ store, queue, report }: FullMarkOptions): Promise<FullMark> {
  const stored = new Map<Digest, number>()
  for await (const { digest, size } of store.blobs.list()) stored.set(digest, size)
  const referenced = new Set<Digest>()
  let absent = 0
  for await (const reference of layoutReferences(store)) {
    const { digest } = reference
    if (referenced.has(digest)) continue
    referenced.add(digest)
    // It may have been stored after the listing.
    if (stored.has(digest) || (await store.blobs.stat(digest)) !== undefined) continue
    absent += 1
    report({ step: 'absent', ...reference })
  }
  let missed = 0
  for (const [digest, size] of stored) {
    if (referenced.has(digest) || queue.has(digest)) continue
    missed += 1
    report({ step: 'missed', digest, size })
  }
  return { blobs: stored.size, referenced: referenced.size, missed, absent }
}
