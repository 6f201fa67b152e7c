import type { RunId } from '../store/store.ts'
import { withClaim } from './claims.ts'
import type { UnreferencedBlob } from './collected-index.ts'
import type { CollectionParts } from './collection-parts.ts'
import type { KeepReasons } from './keep-reasons.ts'
import type { KeepReason } from './step.ts'

type Removal =
  | { readonly kind: 'removed' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'kept' | 'restored'; readonly reason: KeepReason }

/**
 * Moves an unreferenced blob to the trash, without a lock:
 *
 * 1. Look whether anything needs the blob.
 * 2. Claim it, unless it is leased, and move it. Its links stay, so that a request restores it. A client
 *    leases the blob before it looks for it, and waits while it is claimed: for one rename.
 * 3. Look again. A client that needs it since 1 has renewed its lease or stored a manifest: either this
 *    second look sees that, or the client looked after 2, and has restored the blob itself.
 */
export async function removeBlob(
  { store, index, leases, now }: Pick<CollectionParts, 'store' | 'index' | 'leases' | 'now'>,
  { digest, size }: UnreferencedBlob,
  { run, keepReasons }: { readonly run: RunId; readonly keepReasons: KeepReasons },
): Promise<Removal> {
  const reason = await keepReasons(digest)
  if (reason !== undefined) return { kind: 'kept', reason }
  // Before the move: a client that restores the blob adds it to the index again.
  index.apply([{ kind: 'blob-removed', digest }])
  const keepIndexed = () => index.apply([{ kind: 'blob', digest, size, at: now() }])
  try {
    const isMoved = await withClaim(leases, digest, () => store.blobs.remove(digest, run))
    if (isMoved === 'leased') {
      keepIndexed()
      return { kind: 'kept', reason: 'leased' }
    }
    if (!isMoved) return { kind: 'gone' }
    const later = await keepReasons(digest)
    if (later === undefined) return { kind: 'removed' }
    await store.trash.restoreBlob(digest)
    keepIndexed()
    return { kind: 'restored', reason: later }
  } catch (error) {
    // Whether it was moved or not: a reader finds it, and the next run looks again.
    keepIndexed()
    throw error
  }
}
