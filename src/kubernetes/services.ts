import { z } from 'zod'
import type { UserAccess } from './kubeconfig.ts'
import { getObject } from './user-api.ts'

/** A Service of a registry. */
type RegistryService = {
  readonly name: string
  readonly type: string
  readonly nodePorts: readonly number[]
}

const servicesSchema = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      spec: z.object({
        type: z.string().default('ClusterIP'),
        ports: z.array(z.object({ nodePort: z.number().optional() })).default([]),
      }),
    }),
  ),
})

/** @throws KubernetesError: without the right to list Services, for example. */
export async function listServices(
  access: UserAccess,
  namespace: string,
  release: string,
): Promise<readonly RegistryService[]> {
  const labelSelector = `app.kubernetes.io/name=berth,app.kubernetes.io/instance=${release}`
  const query = new URLSearchParams({ labelSelector })
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services?${query}`
  return servicesSchema.parse(await getObject(access, path)).items.map(({ metadata, spec }) => ({
    name: metadata.name,
    type: spec.type,
    nodePorts: spec.ports.flatMap(({ nodePort }) => nodePort ?? []),
  }))
}
