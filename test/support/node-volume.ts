import type { ClusterNode } from './cluster-node.ts'

/**
 * Makes a volume in a directory of a node, as a local disk is: a PersistentVolume of the class `local`. A pod that uses it stays
 * on that node, and finds its files again.
 */
export async function volumeOnNode(
  node: ClusterNode,
  directory: string,
  { name = 'hosted', storageClassName = 'local' } = {},
): Promise<unknown> {
  await node.run(['install', '-d', '-o', '65532', '-g', '65532', directory])
  const expression = { key: 'kubernetes.io/hostname', operator: 'In', values: [node.name] }
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage: '60Gi' },
      accessModes: ['ReadWriteOnce'],
      storageClassName,
      persistentVolumeReclaimPolicy: 'Retain',
      local: { path: directory },
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [expression] }] },
      },
    },
  }
}
