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
  const referenced = new Set<Digest>()
  let absent = 0
  for await (const reference of layoutReferences(store)) {
    const { digest } = reference
    if (referenced.has(digest)) continue
    referenced.add(digest)
    if ((await store.blobs.stat(digest)) !== undefined) continue
    absent += 1
    report({ step: 'absent', ...reference })
  }
  let [blobs, missed] = [0, 0]
  for await (const { digest, size } of store.blobs.list()) {
    blobs += 1
    if (referenced.has(digest) || queue.has(digest)) continue
    missed += 1
    report({ step: 'missed', digest, size })
  }
  return { blobs, referenced: referenced.size, missed, absent }
}
