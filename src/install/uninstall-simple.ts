import type { ClusterObjects } from './cluster-objects.ts'
import type { ObjectReference } from './objects.ts'
import { type Removal, removeAll } from './remove-all.ts'
import { simpleNames, simpleObjects } from './simple-objects.ts'

type Options = {
  readonly namespace: string
  /** Deletes the claim with all pushed images. */
  readonly withImages: boolean
  readonly onRemoved: (what: string) => void
}

/** Removes what `berth simple install` made, whatever was chosen then; the namespace stays, and so does the claim. */
export function uninstallSimple(
  cluster: Pick<ClusterObjects, 'get' | 'delete'>,
  { namespace, withImages, onRemoved }: Options,
): Promise<Removal> {
  return removeAll(cluster, {
    references: candidates(namespace),
    keeps: ({ kind }) => kind === 'PersistentVolumeClaim' && !withImages,
    onRemoved,
  })
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
