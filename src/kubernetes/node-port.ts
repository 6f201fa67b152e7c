import { z } from 'zod'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'
import { containerOf, type Pod } from './registry-pod.ts'
import { getObject } from './user-api.ts'

const portName = 'registry'

const servicesSchema = z.object({
  items: z.array(
    z.object({
      spec: z.object({
        selector: z.record(z.string(), z.string()).optional(),
        ports: z
          .array(z.object({ name: z.string().optional(), nodePort: z.number().optional() }))
          .default([]),
      }),
    }),
  ),
})

/**
 * The port of each node that leads to a pod of the chart: a host port, or that of a Service. Undefined: it has none,
 * or the user may not list services.
 */
export async function nodePortOf(
  access: UserAccess,
  pod: Pod,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const { hostPort } = containerOf(pod)?.ports.find(({ name }) => name === portName) ?? {}
  if (hostPort !== undefined) return hostPort
  const { namespace, labels } = pod.metadata
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services`
  const found = await getObject(access, path, signal).catch((error: unknown) => {
    if (error instanceof KubernetesError && error.status !== undefined) return { items: [] }
    throw error
  })
  const services = servicesSchema
    .parse(found)
    .items.filter(({ spec: { selector } }) => selector !== undefined && isPart(selector, labels))
  const ports = services.flatMap(({ spec }) => spec.ports)
  return ports.find(({ name, nodePort }) => name === portName && nodePort !== undefined)?.nodePort
}

type Labels = Readonly<Record<string, string>>

function isPart(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value)
}
