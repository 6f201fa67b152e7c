import type { HostedStore } from '../../store/store.ts'
import type { Locks } from '../locks.ts'
import type { Manifests } from '../manifests.ts'
import type { HostedIndex } from './hosted-index.ts'
import type { Leases } from './leases.ts'
import type { Quotas } from './quotas.ts'

/** What everything that writes to hosted repositories works with. */
export type HostedParts = {
  readonly store: HostedStore
  /** Undefined: there is none. */
  readonly index: HostedIndex | undefined
  readonly manifests: Manifests
  readonly leases: Leases
  readonly quotas: Quotas
  /**
   * By repository: shared by those that add references, exclusive for those that remove what may be
   * referenced. By `repository@digest` and `repository:tag`: exclusive for changes of it.
   */
  readonly locks: Locks
  /** Milliseconds since the epoch. */
  readonly now: () => number
}
