import { createRunId } from '../store/store.ts'
import { removeBlob } from './blob-removal.ts'
import type { UnreferencedBlob } from './collected-index.ts'
import { findKeepReasons, type KeepReasons } from './keep-reasons.ts'
import type { RunOptions, RunParts } from './run-parts.ts'
import { exceedsShare } from './share-limit.ts'
import type { End, Report } from './step.ts'
import { unreferencedBlobs } from './unreferenced-blobs.ts'

/** Removals between two looks at whether it is still allowed. */
const batchSize = 50

/**
 * Moves blobs to the trash that nothing needs and whose grace period is over.
 */
export async function collectBlobs(parts: RunParts, options: RunOptions): Promise<End> {
  const { index, blobs: queue, blocked } = parts
  const { report, dryRun } = options
  const reason = await blocked()
  if (reason !== undefined) return { step: 'end', outcome: 'waiting', reason }
  await queue.refresh(unreferencedBlobs(index))
  const due = queue.due()
  report({ step: 'candidates', queued: queue.size, due: due.length })
  const keepReasons = await findKeepReasons(parts)
  const plan = await planOf(due, keepReasons, report)
  const confirmed = await confirmedPlan(parts, plan, options)
  if (confirmed === undefined) return { step: 'end', outcome: 'confirm' }
  if (dryRun) {
    for (const { digest, size } of confirmed) report({ step: 'would-remove', digest, size })
    return { step: 'end', outcome: 'done', removed: 0, bytes: 0 }
  }
  return removeAll(parts, { plan: confirmed, keepReasons, report })
}

async function planOf(
  due: readonly UnreferencedBlob[],
  keepReasons: KeepReasons,
  report: Report,
): Promise<readonly UnreferencedBlob[]> {
  const plan: UnreferencedBlob[] = []
  for (const candidate of due) {
    const reason = await keepReasons(candidate.digest)
    if (reason === undefined) plan.push(candidate)
    else report({ step: 'keep', digest: candidate.digest, reason })
  }
  return plan
}

/** Undefined: somebody has to confirm it first. */
async function confirmedPlan(
  { index, confirmations }: RunParts,
  plan: readonly UnreferencedBlob[],
  { confirm, report, dryRun }: RunOptions,
): Promise<readonly UnreferencedBlob[] | undefined> {
  const totals = await index.totals()
  const bytes = plan.reduce((sum, { size }) => sum + size, 0)
  const removed = { count: plan.length, bytes }
  if (!exceedsShare(removed, { count: totals.blobs, bytes: totals.bytes })) {
    confirmations.clear('blobs')
    return plan
  }
  const allowed = confirm && confirmations.confirmed('blobs', confirm)
  if (allowed !== undefined) {
    confirmations.clear('blobs')
    return plan.filter(({ digest }) => allowed.has(digest))
  }
  const run = confirmations.ask(
    'blobs',
    plan.map(({ digest }) => digest),
  )
  report({
    step: 'confirm',
    run,
    remove: plan.length,
    of: totals.blobs,
    bytes,
    ofBytes: totals.bytes,
    message: `that is more than a fifth; to allow it: berth gc --confirm ${run}`,
  })
  return dryRun ? plan : undefined
}

async function removeAll(
  parts: RunParts,
  {
    plan,
    keepReasons,
    report,
  }: {
    readonly plan: readonly UnreferencedBlob[]
    readonly keepReasons: KeepReasons
    readonly report: Report
  },
): Promise<End> {
  const run = createRunId(parts.now())
  let [removed, bytes] = [0, 0]
  for (const [at, candidate] of plan.entries()) {
    const reason = at % batchSize === 0 ? await parts.blocked() : undefined
    if (reason !== undefined) return { step: 'end', outcome: 'waiting', reason, removed, bytes }
    const { digest, size } = candidate
    const result = await removeBlob(parts, candidate, { run, keepReasons })
    // A kept one stays: its lease may end before the next run.
    if (result.kind !== 'kept') parts.blobs.delete(digest)
    if (result.kind === 'removed') {
      removed += 1
      bytes += size
      report({ step: 'remove', digest, size, run })
    }
    if (result.kind === 'kept') report({ step: 'keep', digest, reason: result.reason })
    if (result.kind === 'restored') report({ step: 'restore', digest, reason: result.reason })
  }
  return { step: 'end', outcome: 'done', removed, bytes }
}
