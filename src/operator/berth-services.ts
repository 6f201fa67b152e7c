import { z } from 'zod'
import type { ApiClient } from '../kubernetes/kubernetes.ts'
import type { BerthService } from './place.ts'
import { refusal } from './refusal.ts'
import type { Registry } from './registry-resource.ts'

type Looking = { readonly client: ApiClient; readonly namespace: string | undefined }

const portName = 'registry'
const maxAnswer = 4 * 1024 * 1024

const metadata = z.object({ name: z.string(), namespace: z.string() })
const services = z.object({
  items: z.array(
    z.object({
      metadata,
      spec: z.object({
        ports: z
          .array(
            z.object({
              name: z.string().optional(),
              port: z.number(),
              nodePort: z.number().optional(),
              appProtocol: z.string().optional(),
            }),
          )
          .default([]),
      }),
    }),
  ),
})
const pods = z.object({
  items: z.array(
    z.object({
      spec: z.object({
        containers: z.array(
          z.object({
            ports: z
              .array(z.object({ name: z.string().optional(), hostPort: z.number().optional() }))
              .default([]),
          }),
        ),
      }),
    }),
  ),
})

/** The Services of Berth's chart; only a Registry with the provider `simple` needs them. */
export async function berthServices(
  looking: Looking,
  { spec }: Registry,
): Promise<readonly BerthService[]> {
  if (spec.provider !== 'simple') return []
  const found = services.parse(await list(looking, looking.namespace, 'services', ''))
  const all = found.items.map(async ({ metadata: { name, namespace }, spec: { ports } }) => {
    const own = ports.find((one) => one.name === portName)
    if (own === undefined) return []
    const { port, appProtocol, nodePort = await hostPort(looking, namespace) } = own
    return [{ namespace, name, port, isTls: appProtocol === 'https', nodePort }]
  })
  return (await Promise.all(all)).flat()
}

/** By which port of nodes, if not by a NodePort, pods of a registry are reached. */
async function hostPort(looking: Looking, namespace: string): Promise<number | undefined> {
  const labels = ',app.kubernetes.io/component=registry'
  const { items } = pods.parse(await list(looking, namespace, 'pods', labels))
  const ports = items.flatMap(({ spec }) => spec.containers.flatMap((one) => one.ports))
  return ports.find(({ name }) => name === portName)?.hostPort
}

async function list(
  { client }: Looking,
  namespace: string | undefined,
  kind: string,
  labels: string,
): Promise<unknown> {
  const place = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
  const selector = encodeURIComponent(`app.kubernetes.io/name=berth${labels}`)
  const path = `/api/v1${place}/${kind}?labelSelector=${selector}`
  const { status, text } = await client.get(path, { maxBytes: maxAnswer })
  if (status !== 200) throw new Error(refusal(text))
  return JSON.parse(text)
}
