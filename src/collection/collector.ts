import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import {
  type Decision,
  decide,
  type Explained,
  type Explanation,
  explain,
} from '../retention/retention.ts'
import { createRunId, type RunId, type TrashRun } from '../store/store.ts'
import { collectBlobs } from './blob-collection.ts'
import type { CollectionParts } from './collection-parts.ts'
import { createConfirmations } from './confirmations.ts'
import { createDecideOptions } from './decide-options.ts'
import { markAll } from './full-mark.ts'
import { collectLinks, keyOfLink } from './link-collection.ts'
import { createOneAtATime } from './one-at-a-time.ts'
import { applyRetention } from './retention-run.ts'
import { createReviewQueue } from './review-queue.ts'
import type { RunParts } from './run-parts.ts'
import { createRunRecord } from './run-record.ts'
import type { End, Report } from './step.ts'
import {
  type RemovedTag,
  removedTags,
  type TagUndo,
  type TagVersion,
  tagVersions,
  undoTag,
} from './tag-history.ts'
import { emptyTrash } from './trash-emptying.ts'
import { indexQuestions, layoutQuestions } from './trash-questions.ts'
import { undoRun } from './undo.ts'
import { unreferencedBlobs } from './unreferenced-blobs.ts'
import { createVolumeMark } from './volume-mark.ts'

type TagName = { readonly name: RepositoryName; readonly tag: Tag }

type RunRequest = {
  /** Only report what would be removed. */
  readonly dryRun?: boolean | undefined
  /** A run that waits for its confirmation. */
  readonly confirm?: RunId | undefined
}

/**
 * Removes from hosted repositories what nothing needs, while clients push and pull. One run at a time;
 * others wait. No client waits for a run.
 */
export interface Collector {
  /** Starts the grace period of blobs that are not referenced any more. */
  review(): Promise<void>
  /** Moves blobs to the trash, and empties it. `full`: also compares with the whole layout. */
  collect(
    request: RunRequest & { readonly full?: boolean | undefined },
    report: Report,
  ): Promise<End>
  /** Deletes what retention rules name. */
  retain(request: RunRequest, report: Report): Promise<End>
  /** Restores what a run removed. */
  undo(run: RunId, report: Report): Promise<End>
  /** What is in the trash, newest first. */
  runs(): Promise<readonly TrashRun[]>
  /** Undefined: there is no such tag, or manifest. */
  explain(name: RepositoryName, of: Explained): Promise<Explanation | undefined>
  /** What the rules decide about everything in a repository. */
  decisions(name: RepositoryName): Promise<readonly Decision[]>
  /** Newest first. */
  tagHistory(tag: TagName): Promise<readonly TagVersion[]>
  /** `to`: a digest of its history; default: what it pointed to before. */
  undoTag(tag: TagName & { readonly to?: Digest | undefined }): Promise<TagUndo>
  removedTags(of: {
    readonly name: RepositoryName
    readonly limit: number
  }): Promise<readonly RemovedTag[]>
  /** A run ends after what it is removing. */
  stop(): void
}

export function createCollector(given: CollectionParts): Collector {
  const { store, index, inUse, settings, isShared = false, now, uptime } = given
  const inTurn = createOneAtATime()
  const volume = createVolumeMark(given.root)
  const queueOptions = { grace: settings.grace, uptime }
  let isStopping = false
  const known = () =>
    (isStopping ? 'the registry is shutting down' : undefined) ??
    store.problem() ??
    index.problem() ??
    index.unverified() ??
    inUse.problem()
  const parts: RunParts = {
    ...given,
    blobs: createReviewQueue({ ...queueOptions, keyOf: ({ digest }) => digest }),
    links: createReviewQueue({ ...queueOptions, keyOf: keyOfLink }),
    confirmations: createConfirmations(() => createRunId(now())),
    blocked: async () => known() ?? (await volume.check()),
  }
  const record = createRunRecord(parts)

  const collect = async (
    { full = false, dryRun = false, confirm }: Parameters<Collector['collect']>[0],
    report: Report,
  ): Promise<End> => {
    await compare()
    const end = await collectBlobs(parts, { dryRun, confirm, report })
    // Another replica may be about to use such a link, and a removed one is missing at once.
    if (end.outcome === 'done' && !dryRun && !isShared)
      await collectLinks(parts, { dryRun, report })
    if (!dryRun) await empty(report)
    if (full) report({ step: 'full', ...(await markAll({ store, queue: parts.blobs, report })) })
    return end
  }

  /** With what other replicas have written. If it fails, the index is not verified. */
  const compare = async (): Promise<void> => {
    if (isShared && known() === undefined) await index.verify()
  }

  /** Without the index only if there is no room; never while it is not known what is in use. */
  const empty = async (report: Report): Promise<void> => {
    const reason = store.problem() ?? inUse.problem() ?? (await volume.check())
    if (reason !== undefined) return
    const hasIndex = (index.problem() ?? index.unverified()) === undefined
    await emptyTrash(parts, {
      report,
      underPressureOnly: !hasIndex,
      questions: () => (hasIndex ? indexQuestions(parts) : layoutQuestions(parts)),
    })
  }

  return {
    review: () =>
      inTurn(async () => {
        if ((await parts.blocked()) === undefined)
          await parts.blobs.refresh(unreferencedBlobs(index))
      }),
    collect: (request, report) =>
      inTurn(() => record('collection', report, (both) => collect(request, both))),
    retain: ({ dryRun = false, confirm }, report) =>
      inTurn(() =>
        record('retention', report, async (both) => {
          await compare()
          return applyRetention(parts, { dryRun, confirm, report: both })
        }),
      ),
    undo: (run, report) =>
      inTurn(() => record('undo', report, (both) => undoRun(parts, { run, report: both }))),
    runs: () => store.trash.runs(),
    explain: async (name, of) => {
      const optionsFor = await createDecideOptions(parts)
      return explain({ ...optionsFor(name, await index.images(name)), of })
    },
    decisions: async (name) => {
      const optionsFor = await createDecideOptions(parts)
      return decide(optionsFor(name, await index.images(name)))
    },
    tagHistory: (tag) => tagVersions(parts, tag),
    removedTags: (of) => removedTags(parts, of),
    undoTag: (tag) => inTurn(() => undoTag(parts, tag)),
    stop: () => {
      isStopping = true
    },
  }
}
