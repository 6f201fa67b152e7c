import { KubernetesError } from '../kubernetes/kubernetes.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { describeReference, type ObjectReference } from './objects.ts'
import { simpleLabels, simpleNames, simpleObjects } from './simple-objects.ts'

type Removal = {
  /** `Deployment berth in namespace images`. */
  readonly removed: readonly string[]
  readonly kept: readonly string[]
}

type Options = {
  readonly namespace: string
  /** Deletes the claim with all pushed images. */
  readonly withImages: boolean
  readonly onRemoved: (what: string) => void
}

const manager = 'app.kubernetes.io/managed-by'

/**
 * Removes what `berth simple install` made, whatever was chosen then; the namespace stays, and so does the claim.
 * Objects of the same names that are managed by others, such as Helm, stay.
 */
export async function uninstallSimple(
  cluster: Pick<ClusterObjects, 'get' | 'delete'>,
  { namespace, withImages, onRemoved }: Options,
): Promise<Removal> {
  const removed: string[] = []
  const kept: string[] = []
  for (const reference of candidates(namespace)) {
    const found = await find(cluster, reference)
    if (found === undefined) continue
    const what = describeReference(reference)
    const isOurs = found.metadata.labels?.[manager] === simpleLabels[manager]
    if (!isOurs || (reference.kind === 'PersistentVolumeClaim' && !withImages)) {
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

/** The workload first, so that nothing uses what is removed after it. */
function candidates(namespace: string): readonly ObjectReference[] {
  const all = { access: 'users', tls: 'cert-manager', storage: 'claim', size: '' } as const
  const objects = simpleObjects(namespace, all, '')
  const secrets = [simpleNames.users, simpleNames.tls, simpleNames.authority].map((name) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace },
  }))
  return [...objects.toReversed(), ...secrets]
}
