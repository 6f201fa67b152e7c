import { z } from 'zod'
import type { ClusterObjects } from './cluster-objects.ts'
import type { KubernetesObject, ObjectReference } from './objects.ts'
import { manager, managerLabel } from './remove-all.ts'

const apiVersion = 'berth.dev/v1alpha1'
const kind = 'Registry'
export const registryKind = { apiVersion, kind } as const

export const registryReference = (namespace: string, name: string): ObjectReference => ({
  ...registryKind,
  metadata: { name, namespace },
})

/** Labels of the pods through which a Registry is reached. */
export const surrogatePods = (name: string) => ({
  'app.kubernetes.io/name': 'berth',
  'app.kubernetes.io/component': 'surrogate',
  'berth.dev/registry': name,
})

/** What is made for a Registry, from files and options of a command. */
export type RegistryParts = {
  readonly namespace: string
  readonly name: string
  readonly spec: object
  /** In a Secret of type kubernetes.io/basic-auth. */
  readonly login?: { readonly username: string; readonly password: string } | undefined
  /** Certificate authorities as PEM, in a ConfigMap. */
  readonly authorities?: string | undefined
}

export const loginName = (name: string) => `${name}-login`
export const authorityName = (name: string) => `${name}-ca`
export const authorityKey = 'ca.crt'

/** The Registry last: its surrogate finds what it refers to. */
export function registryObjects(parts: RegistryParts): readonly KubernetesObject[] {
  const { namespace, name, spec, login, authorities } = parts
  const named = (own: string) => ({ name: own, namespace, labels: labelsOf(name) })
  return [
    ...(login === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Secret',
            metadata: named(loginName(name)),
            type: 'kubernetes.io/basic-auth',
            data: { username: base64(login.username), password: base64(login.password) },
          },
        ]),
    ...(authorities === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: named(authorityName(name)),
            data: { [authorityKey]: authorities },
          },
        ]),
    { ...registryKind, metadata: { name, namespace, labels: labelsOf(name) }, spec },
  ]
}

/** What was made for a Registry goes with it. */
export async function ownParts(
  cluster: Pick<ClusterObjects, 'get' | 'apply'>,
  { namespace, name }: Pick<RegistryParts, 'namespace' | 'name'>,
  parts: readonly KubernetesObject[],
): Promise<void> {
  const owned = parts.filter((object) => object.kind !== kind)
  if (owned.length === 0) return
  const registry = await cluster.get(registryReference(namespace, name))
  const { uid } = z.object({ uid: z.string() }).parse(registry?.metadata)
  const owner = { apiVersion, kind, name, uid }
  for (const object of owned) {
    const metadata = { ...object.metadata, ownerReferences: [owner] }
    await cluster.apply({ ...object, metadata })
  }
}

function labelsOf(name: string) {
  return { [managerLabel]: manager, 'berth.dev/registry': name }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
