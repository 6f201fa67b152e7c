import type { CollectionParts } from './collection-parts.ts'
import type { End, Report, Step } from './step.ts'

type RunRecordOptions = Pick<CollectionParts, 'store' | 'telemetry' | 'now'> & {
  readonly blobs: { readonly size: number }
}

/** Steps of a run that change something. Others are reported to who asked, and not logged. */
const logged: readonly Step['step'][] = ['remove', 'restore', 'free', 'delete', 'confirm', 'absent']

/** Reports, logs and counts the steps of a run. An error ends the run as failed. */
export function createRunRecord({ store, telemetry, now, blobs }: RunRecordOptions) {
  const { metrics, log } = telemetry
  // So that the first run that has to be confirmed is an increase, which the alert looks for.
  for (const what of ['collection', 'retention'])
    metrics.collectionRuns.inc({ what, outcome: 'confirm' }, 0)
  let trashBytes = 0
  metrics.onScrape(() => {
    metrics.collectionQueue.set(blobs.size)
    metrics.trashBytes.set(trashBytes)
  })

  const count = (step: Step): void => {
    if (step.step === 'remove') metrics.collectionRemoved.inc({ what: 'blob' })
    if (step.step === 'free') metrics.trashFreedBytes.inc(step.bytes)
    if (step.step === 'delete')
      metrics.collectionRemoved.inc({ what: step.tag === undefined ? 'manifest' : 'tag' })
  }

  return async (
    what: 'collection' | 'retention' | 'undo',
    report: Report,
    run: (report: Report) => Promise<End>,
  ): Promise<End> => {
    const end = await run((step) => {
      count(step)
      if (logged.includes(step.step)) log.info({ what, ...step }, 'collection')
      report(step)
    }).catch((error: unknown): End => {
      log.error({ what, err: error }, 'collection failed')
      return { step: 'end', outcome: 'failed', reason: String(error) }
    })
    metrics.collectionRuns.inc({ what, outcome: end.outcome })
    if (end.outcome === 'done') metrics.collectionLastRun.set({ what }, now() / 1000)
    trashBytes = (await store.trash.runs()).reduce((sum, { bytes }) => sum + bytes, 0)
    report(end)
    return end
  }
}
