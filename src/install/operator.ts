import { z } from 'zod'
import { KubernetesError } from '../kubernetes/kubernetes.ts'
import { type AppliedObject, applyAll, ensureNamespace } from './apply-all.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { describeReference, type ObjectReference } from './objects.ts'
import {
  definitionReference,
  type OperatorChoices,
  operatorDeployment,
  operatorObjects,
  operatorReferences,
} from './operator-objects.ts'
import { type Removal, removeAll } from './remove-all.ts'
import { type Waiting, waitForDeployment, waitUntil } from './rollout.ts'

const registries = { apiVersion: 'berth.dev/v1alpha1', kind: 'Registry' } as const

type Installing = {
  readonly namespace: string
  readonly choices: OperatorChoices
  readonly force?: boolean | undefined
  readonly onApplied: (applied: AppliedObject) => void
  readonly onRemoved: (what: string) => void
}

/** What an operator of another scope had in addition is removed. */
export async function installOperator(
  cluster: ClusterObjects,
  { namespace, choices, force, onApplied, onRemoved }: Installing,
): Promise<readonly AppliedObject[]> {
  if (await ensureNamespace(cluster, namespace))
    onApplied({ kind: 'Namespace', name: namespace, result: 'created' })
  const objects = operatorObjects(namespace, choices)
  const applied = await applyAll(cluster, { objects, force, onApplied })
  const wanted = new Set(objects.map(describeReference))
  const references = operatorReferences(namespace).filter(
    (reference) => !wanted.has(describeReference(reference)),
  )
  await removeAll(cluster, { references, onRemoved })
  return applied
}

/** Waits until the API server has Registries, and the operator is ready. */
export async function waitForOperator(
  cluster: ClusterObjects,
  namespace: string,
  waiting: Waiting,
): Promise<void> {
  const what = describeReference(definitionReference)
  await waitUntil(what, waiting, async () =>
    isEstablished(await cluster.get(definitionReference))
      ? undefined
      : `${what} is not established`,
  )
  await waitForDeployment(cluster, operatorDeployment(namespace), waiting)
}

type Uninstalling = {
  readonly namespace: string
  /** Deletes the definition of Registry as well. */
  readonly withDefinition: boolean
  readonly onRemoved: (what: string) => void
}

/**
 * Removes the operator. Registries and their surrogates stay, and so does the definition, with which all Registries
 * would be deleted.
 * @throws KubernetesError if the definition is to be deleted and there are Registries: then nothing is removed.
 */
export async function uninstallOperator(
  cluster: Pick<ClusterObjects, 'get' | 'list' | 'delete'>,
  { namespace, withDefinition, onRemoved }: Uninstalling,
): Promise<Removal> {
  if (withDefinition) assertNone((await cluster.list(registries)) ?? [])
  const references = [
    ...operatorReferences(namespace),
    ...(withDefinition ? [definitionReference] : []),
  ]
  const removal = await removeAll(cluster, { references, onRemoved })
  const isLeft = !withDefinition && (await cluster.get(definitionReference)) !== undefined
  return isLeft
    ? { ...removal, kept: [...removal.kept, describeReference(definitionReference)] }
    : removal
}

function assertNone(found: readonly ObjectReference[]): void {
  if (found.length === 0) return
  const names = found.map(({ metadata: { namespace, name } }) => `${namespace}/${name}`)
  throw new KubernetesError(
    `there are Registries, which would be deleted with their definition: ${names.join(', ')}; delete them first (kubectl berth registry delete), or leave the definition. Nothing was changed`,
  )
}

const definitionSchema = z.object({
  status: z.object({
    conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
  }),
})

function isEstablished(definition: unknown): boolean {
  const { data } = definitionSchema.safeParse(definition)
  const conditions = data?.status.conditions ?? []
  return conditions.some(({ type, status }) => type === 'Established' && status === 'True')
}
