import type { Readable } from 'node:stream'
import { z } from 'zod'
import { KubernetesError, openBody, type UserAccess } from '../kubernetes/kubernetes.ts'
import { createClusterObjects } from './cluster-objects.ts'

type Options = {
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  /** What the pods are, for messages. */
  readonly what: string
  /** Default: the first one of each pod. */
  readonly container?: string | undefined
  readonly follow: boolean
  /** Lines from the end; default: all. */
  readonly tail?: number | undefined
  /** Of the container's run before. */
  readonly previous: boolean
  readonly signal: AbortSignal
  /** A line; with several pods it begins with the pod's name. */
  readonly onLine: (line: string) => void
}

const podSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({ containers: z.array(z.looseObject({ name: z.string() })).min(1) }),
})
type Pod = z.output<typeof podSchema>

/**
 * Writes the logs of pods, until their end; all at the same time.
 * @throws KubernetesError if there is no such pod, or it has no log.
 */
export async function readPodLogs(access: UserAccess, options: Options): Promise<void> {
  const { namespace, labels, what, signal } = options
  const found = await createClusterObjects(access, signal).list({
    apiVersion: 'v1',
    kind: 'Pod',
    namespace,
    labels,
  })
  const pods = z.array(podSchema).parse(found ?? [])
  if (pods.length === 0)
    throw new KubernetesError(
      `there is no pod of ${what} in namespace ${namespace}; choose another namespace with -n`,
    )
  const prefixOf = (pod: Pod) => (pods.length > 1 ? `[${pod.metadata.name}] ` : '')
  await Promise.all(pods.map((pod) => readLog(access, pod, prefixOf(pod), options)))
}

async function readLog(
  access: UserAccess,
  { metadata, spec }: Pod,
  prefix: string,
  { namespace, container, follow, tail, previous, signal, onLine }: Options,
): Promise<void> {
  const query = new URLSearchParams({
    container: container ?? spec.containers[0]?.name ?? '',
    ...(follow && { follow: 'true' }),
    ...(previous && { previous: 'true' }),
    ...(tail !== undefined && { tailLines: String(tail) }),
  })
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(metadata.name)}/log?${query}`
  try {
    const body = await openBody(access, path, signal)
    for await (const line of linesOf(body)) onLine(`${prefix}${line}`)
  } catch (error) {
    if (!(error instanceof KubernetesError)) throw error
    throw new KubernetesError(`cannot read the log of pod ${metadata.name}: ${error.message}`, {
      status: error.status,
      cause: error,
    })
  }
}

async function* linesOf(body: Readable): AsyncGenerator<string, void, undefined> {
  let rest = ''
  for await (const chunk of body.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}
