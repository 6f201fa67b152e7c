import { z } from 'zod'
import type { ApiClient } from './api-client.ts'

const os = 'kubernetes.io/os'
const arch = 'kubernetes.io/arch'
/** Bytes. One node; those with many images have some ten kilobytes. */
const maxNode = 4 * 1024 * 1024
/** Different values of one label. */
const maxValues = 8

const nodes = z.object({
  items: z.array(
    z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }) }),
  ),
})

/**
 * The platforms of the cluster's nodes, such as `linux/arm64`. Asks for one node with another value than those
 * found before until there is none: two requests and a node for each value, however many nodes there are.
 * @throws Error without the right to list nodes, or without an answer.
 */
export async function listNodePlatforms(
  client: Pick<ApiClient, 'get'>,
): Promise<readonly string[]> {
  const find = async (label: string, requirements: readonly string[]) => {
    const values: string[] = []
    while (values.length < maxValues) {
      const others = values.length === 0 ? [label] : [label, `${label} notin (${values.join(',')})`]
      const value = await labelOfOne(client, label, [...requirements, ...others])
      if (value === undefined) break
      values.push(value)
    }
    return values
  }
  const found: string[] = []
  for (const system of await find(os, []))
    for (const machine of await find(arch, [`${os}=${system}`])) found.push(`${system}/${machine}`)
  return found
}

async function labelOfOne(
  client: Pick<ApiClient, 'get'>,
  label: string,
  requirements: readonly string[],
): Promise<string | undefined> {
  const path = `/api/v1/nodes?limit=1&labelSelector=${encodeURIComponent(requirements.join(','))}`
  const { status, text } = await client.get(path, { maxBytes: maxNode })
  if (status !== 200) throw new Error(`the API server answered ${status} to list nodes`)
  return nodes.parse(JSON.parse(text)).items[0]?.metadata.labels[label]
}
