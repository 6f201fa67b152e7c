import type { InUse } from '../in-use/in-use.ts'
import { maxUses, type WhyUse, type WhyUses } from './answer.ts'

type Options = {
  readonly inUse: Pick<InUse, 'usesOf' | 'problem' | 'runningOf'>
  readonly image: Parameters<InUse['usesOf']>[0]
  /** Whether a cluster is watched, or another one has stored a list. */
  readonly isWatched: boolean
}

/** What names an image: the objects, and where their pods run. */
export function whereItRuns({ inUse, image, isWatched }: Options): WhyUses {
  const byObject = new Map<string, WhyUse>()
  // A pod names its image twice: in its spec, and by digest in its status.
  for (const use of inUse.usesOf(image))
    byObject.set([use.kind, use.namespace, use.name].join('/'), use)
  const objects = [...byObject.values()].toSorted(byImportance)
  const sorted = (texts: readonly (string | undefined)[]) =>
    [...new Set(texts.filter((text) => text !== undefined && text !== ''))].toSorted() as string[]
  return {
    problem: inUse.problem(),
    unwatched: !isWatched,
    total: objects.length,
    pods: objects.filter(({ kind }) => kind === 'Pod').length,
    namespaces: sorted(objects.map(({ namespace }) => namespace)),
    nodes: sorted(objects.map(({ node }) => node)),
    running: image.tag === undefined ? [] : inUse.runningOf(image.name, image.tag),
    objects: objects.slice(0, maxUses),
  }
}

function byImportance(one: WhyUse, other: WhyUse): number {
  const rank = ({ kind }: WhyUse) => (kind === 'Pod' ? 0 : 1)
  const key = ({ kind, namespace, name }: WhyUse) => [kind, namespace, name].join('/')
  return rank(one) - rank(other) || (key(one) < key(other) ? -1 : 1)
}
