/** Bytes are not counted for what has no size of its own. */
export type Amount = { readonly count: number; readonly bytes?: number }

const maxShare = 1 / 5
/** A small registry may lose more at once: there, a fifth is a handful of blobs. */
const minCount = 50

/**
 * Whether a run would remove so much that somebody has to confirm it: a mistake in a rule or in the
 * index looks like this.
 */
export function exceedsShare(removed: Amount, total: Amount): boolean {
  if (total.count <= minCount) return false
  const { bytes = 0 } = removed
  return removed.count > total.count * maxShare || bytes > (total.bytes ?? 0) * maxShare
}
