import { KubernetesError } from '../kubernetes/kubernetes.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import type { KubernetesObject } from './objects.ts'

export type AppliedObject = {
  readonly kind: string
  readonly name: string
  readonly namespace?: string
  readonly result: 'created' | 'applied'
}

type Options = {
  readonly objects: readonly KubernetesObject[]
  /** Takes fields over that somebody else has set. */
  readonly force?: boolean | undefined
  readonly onApplied?: (applied: AppliedObject) => void
}

/**
 * Applies objects in their order. All are checked first, so that a missing right, or a value that the cluster
 * refuses, leaves no half of them.
 * @throws KubernetesError with everything that was refused.
 */
export async function applyAll(
  cluster: ClusterObjects,
  { objects, force = false, onApplied }: Options,
): Promise<readonly AppliedObject[]> {
  await checkAll(cluster, objects, force)
  const results: AppliedObject[] = []
  for (const object of objects) {
    const result = await applyOne(cluster, object, force)
    const { name, namespace } = object.metadata
    const applied = {
      kind: object.kind,
      name,
      ...(namespace !== undefined && { namespace }),
      result,
    }
    onApplied?.(applied)
    results.push(applied)
  }
  return results
}

/** The role of a binding cannot be changed: another one takes its place. */
async function applyOne(cluster: ClusterObjects, object: KubernetesObject, force: boolean) {
  try {
    return await cluster.apply(object, { force })
  } catch (error) {
    if (!isOtherRole(error, object)) throw error
    await cluster.delete(object)
    return cluster.apply(object, { force })
  }
}

function isOtherRole(error: unknown, { kind }: KubernetesObject): boolean {
  const isRefused = error instanceof KubernetesError && error.status === 422
  return isRefused && kind.endsWith('RoleBinding') && error.message.includes('roleRef')
}

/** A role that grants more than the user has, for example, is refused here. */
async function checkAll(
  cluster: ClusterObjects,
  objects: readonly KubernetesObject[],
  force: boolean,
): Promise<void> {
  const refusals: KubernetesError[] = []
  for (const object of objects) {
    try {
      await cluster.apply(object, { isDryRun: true, force })
    } catch (error) {
      if (!(error instanceof KubernetesError) || error.status === undefined) throw error
      // Its role is not there before it is applied, which an administrator's request does not need.
      if (error.status === 404 && object.kind.endsWith('RoleBinding')) continue
      if (isOtherRole(error, object)) continue
      refusals.push(error)
    }
  }
  const [first] = refusals
  if (first === undefined) return
  throw new KubernetesError(
    `${refusals.map(({ message }) => message).join('\n  ')}\nnothing was changed`,
    { status: first.status, cause: first },
  )
}

/** Creates a namespace that does not exist. True: it was created. */
export async function ensureNamespace(cluster: ClusterObjects, name: string): Promise<boolean> {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
  try {
    if ((await cluster.get(namespace)) !== undefined) return false
  } catch (error) {
    // Who may not read namespaces can work in one that exists.
    if (error instanceof KubernetesError && error.status === 403) return false
    throw error
  }
  return (await cluster.apply(namespace)) === 'created'
}
