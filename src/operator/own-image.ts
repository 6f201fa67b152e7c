import { z } from 'zod'
import type { ApiClient } from '../kubernetes/kubernetes.ts'
import type { SurrogateOptions } from './surrogate-deployment.ts'

const pod = z.object({
  spec: z.object({
    containers: z
      .array(z.object({ image: z.string(), imagePullPolicy: z.string().optional() }))
      .nonempty(),
    imagePullSecrets: z.array(z.object({ name: z.string() })).default([]),
  }),
})
const maxAnswer = 4 * 1024 * 1024

/**
 * The image of the pod in which the operator runs, and how nodes pull it: surrogates have the same.
 * @throws Error if the API server does not answer with the pod.
 */
export async function readOwnImage(
  client: ApiClient,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<SurrogateOptions> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
  const { status, text } = await client.get(path, { maxBytes: maxAnswer })
  if (status !== 200)
    throw new Error(
      `the API server answered ${status} for the pod ${name}: name the image of surrogates with --image`,
    )
  const { containers, imagePullSecrets } = pod.parse(JSON.parse(text)).spec
  const [container] = containers
  if (container === undefined) throw new Error(`the pod ${name} has no container`)
  const { image, imagePullPolicy } = container
  return { image, imagePullPolicy, imagePullSecrets: imagePullSecrets.map((secret) => secret.name) }
}
