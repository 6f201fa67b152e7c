import type { RepositoryName } from '../oci/reference.ts'
import { type Decision, decide } from '../retention/retention.ts'
import { createRunId, type RunId } from '../store/store.ts'
import { createDecideOptions } from './decide-options.ts'
import { parentsFirst } from './parents-first.ts'
import type { RunOptions, RunParts } from './run-parts.ts'
import { exceedsShare } from './share-limit.ts'
import type { End } from './step.ts'

type Deletion = Decision & { readonly name: RepositoryName }

type Plan = {
  readonly deletions: readonly Deletion[]
  /** Number of manifests in all repositories. */
  readonly manifests: number
}

/** Deletes the tags and manifests that rules name. */
export async function applyRetention(parts: RunParts, options: RunOptions): Promise<End> {
  const { report, dryRun } = options
  const reason = await parts.blocked()
  if (reason !== undefined) return { step: 'end', outcome: 'waiting', reason }
  const { deletions, manifests } = await planOf(parts)
  const confirmed = confirmedPlan(parts, { deletions, manifests }, options)
  if (confirmed === undefined) return { step: 'end', outcome: 'confirm' }
  if (!dryRun) return deleteAll(parts, confirmed, options)
  for (const deletion of confirmed) report({ step: 'would-delete', ...deletion })
  return { step: 'end', outcome: 'done', removed: 0 }
}

async function planOf(parts: RunParts): Promise<Plan> {
  const optionsFor = await createDecideOptions(parts)
  const deletions: Deletion[] = []
  for (const name of await parts.store.links.repositories()) {
    const images = await parts.index.images(name)
    const order = parentsFirst(images)
    const rank = ({ digest }: Decision) => order.get(digest) ?? 0
    for (const decision of decide(optionsFor(name, images)).toSorted((a, b) => rank(a) - rank(b)))
      if (decision.action === 'delete') deletions.push({ name, ...decision })
  }
  return { deletions, manifests: (await parts.index.totals()).manifests }
}

/** Undefined: somebody has to confirm it first. */
function confirmedPlan(
  { confirmations }: RunParts,
  { deletions, manifests }: Plan,
  { confirm, report, dryRun }: RunOptions,
): readonly Deletion[] | undefined {
  const count = deletions.filter(({ tag }) => tag === undefined).length
  const allowed = confirm && confirmations.confirmed('retention', confirm)
  const isMuch = exceedsShare({ count }, { count: manifests })
  if (!isMuch || allowed !== undefined) {
    confirmations.clear('retention')
    return deletions.filter((each) => allowed === undefined || allowed.has(keyOf(each)))
  }
  const run = confirmations.ask('retention', deletions.map(keyOf))
  report({
    step: 'confirm',
    run,
    remove: count,
    of: manifests,
    message: `deletes more than a fifth of the images; to allow it: berth retention run --confirm ${run}`,
  })
  return dryRun ? deletions : undefined
}

function keyOf({ name, digest, tag }: Deletion): string {
  return `${name}:${tag ?? ''}@${digest}`
}

/** Tags before manifests, and indexes before their children: nothing is deleted that others need. */
async function deleteAll(
  parts: RunParts,
  deletions: readonly Deletion[],
  { report }: RunOptions,
): Promise<End> {
  const run = createRunId(parts.now())
  let removed = 0
  for (const deletion of tagsFirst(deletions)) {
    const reason = await parts.blocked()
    if (reason !== undefined) return { step: 'end', outcome: 'waiting', reason, removed }
    const isDeleted = await deleteOne(parts, deletion, run)
    if (isDeleted) removed += 1
    report({ step: isDeleted ? 'delete' : 'skip', ...deletion })
  }
  return { step: 'end', outcome: 'done', removed }
}

function deleteOne(
  { removals }: RunParts,
  { name, digest, tag }: Deletion,
  run: RunId,
): Promise<boolean> {
  return tag === undefined
    ? removals.manifest({ name, digest, run })
    : removals.untag({ name, tag, digest, run })
}

function tagsFirst(deletions: readonly Deletion[]): readonly Deletion[] {
  const rank = ({ tag }: Deletion): number => (tag !== undefined ? 0 : 1)
  return deletions.toSorted((a, b) => rank(a) - rank(b))
}
