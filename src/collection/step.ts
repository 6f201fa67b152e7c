import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Decision } from '../retention/retention.ts'
import type { RunId, TrashRun } from '../store/store.ts'

/** Why a blob is kept although it was found unreferenced before. */
export type KeepReason = 'leased' | 'in-use' | 'referenced'

/** Numbers of blobs. */
export type FullMark = {
  readonly blobs: number
  readonly referenced: number
  /** Unreferenced, and not in the review queue. */
  readonly missed: number
  /** Referenced, and neither stored nor in the trash. */
  readonly absent: number
}

/** How a run ended. */
type Outcome = 'done' | 'waiting' | 'confirm' | 'failed'

/** What a run does, one line of JSON each. Sizes in bytes. */
export type Step =
  | End
  | { readonly step: 'candidates'; readonly queued: number; readonly due: number }
  | {
      readonly step: 'remove'
      readonly run: RunId
      readonly digest: Digest
      readonly size: number
    }
  | {
      readonly step: 'would-remove' | 'missed'
      readonly digest: Digest
      readonly size: number
    }
  | { readonly step: 'keep' | 'restore'; readonly digest: Digest; readonly reason: KeepReason }
  | {
      readonly step: 'unlink'
      readonly run: RunId
      readonly name: RepositoryName
      readonly digest: Digest
    }
  | {
      readonly step: 'absent'
      readonly name: RepositoryName
      readonly manifest: Digest
      readonly digest: Digest
    }
  | ({ readonly step: 'free'; readonly reason: 'age' | 'disk-pressure' } & TrashRun)
  | ({ readonly step: 'full' } & FullMark)
  | {
      readonly step: 'confirm'
      readonly run: RunId
      readonly remove: number
      readonly of: number
      readonly bytes?: number
      readonly ofBytes?: number
      readonly message: string
    }
  | ({
      readonly step: 'delete' | 'would-delete' | 'skip'
      readonly name: RepositoryName
    } & Decision)
  /** A restored manifest needs it, and it was deleted from the trash. */
  | { readonly step: 'missing'; readonly digest: Digest }

export type End = {
  readonly step: 'end'
  readonly outcome: Outcome
  readonly reason?: string
  /** Number of blobs, or of tags and manifests, and bytes. */
  readonly removed?: number
  readonly restored?: number
  readonly bytes?: number
}

export type Report = (step: Step) => void
