import { KubernetesError } from '../kubernetes/kubernetes.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { describeReference, type KubernetesObject, type ObjectReference } from './objects.ts'

export type Removal = {
  /** `Deployment berth in namespace images`. */
  readonly removed: readonly string[]
  readonly kept: readonly string[]
}

type Options = {
  readonly references: readonly ObjectReference[]
  /** Objects of ours that stay. */
  readonly keeps?: (object: KubernetesObject) => boolean
  readonly onRemoved: (what: string) => void
}

export const managerLabel = 'app.kubernetes.io/managed-by'
export const manager = 'kubectl-berth'

/** Removes those objects that these commands made. Objects of the same names that are managed by others stay. */
export async function removeAll(
  cluster: Pick<ClusterObjects, 'get' | 'delete'>,
  { references, keeps = () => false, onRemoved }: Options,
): Promise<Removal> {
  const removed: string[] = []
  const kept: string[] = []
  for (const reference of references) {
    const found = await find(cluster, reference)
    if (found === undefined) continue
    const what = describeReference(reference)
    const isOurs = found.metadata.labels?.[managerLabel] === manager
    if (!isOurs || keeps(found)) {
      kept.push(what)
      continue
    }
    await cluster.delete(reference)
    onRemoved(what)
    removed.push(what)
  }
  return { removed, kept }
}

/** Kinds of cert-manager may be forbidden to those who never used them. */
async function find(cluster: Pick<ClusterObjects, 'get'>, reference: ObjectReference) {
  try {
    return await cluster.get(reference)
  } catch (error) {
    const isForbidden = error instanceof KubernetesError && error.status === 403
    if (isForbidden && reference.apiVersion.startsWith('cert-manager.io/')) return undefined
    throw error
  }
}
