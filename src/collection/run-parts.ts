import type { RunId } from '../store/store.ts'
import type { BlobLink, UnreferencedBlob } from './collected-index.ts'
import type { CollectionParts } from './collection-parts.ts'
import type { Confirmations } from './confirmations.ts'
import type { ReviewQueue } from './review-queue.ts'
import type { Report } from './step.ts'

export type RunOptions = {
  readonly dryRun: boolean
  /** A run that waits for it. */
  readonly confirm?: RunId | undefined
  readonly report: Report
}

export type RunParts = CollectionParts & {
  readonly blobs: ReviewQueue<UnreferencedBlob>
  readonly links: ReviewQueue<BlobLink>
  readonly confirmations: Confirmations
  /** Why nothing may be deleted now; undefined: it may. */
  readonly blocked: () => Promise<string | undefined>
}
