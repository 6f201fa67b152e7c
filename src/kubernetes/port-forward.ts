import type { Duplex } from 'node:stream'
import { createChannelStream, openWebSocket } from './channel-stream.ts'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'

type ForwardOptions = {
  readonly namespace: string
  readonly pod: string
  readonly port: number
  readonly signal: AbortSignal
}

const channels = { data: 0, error: 1 } as const
/** Each channel begins with the port, two bytes. */
const prefix = 2

/**
 * One connection to a port of a pod (`v4.channel.k8s.io` of port-forward). It cannot be half-closed, and nothing is
 * sent again if it breaks.
 * @throws KubernetesError if the API server refuses it, or cannot be reached.
 */
export async function forwardToPod(access: UserAccess, options: ForwardOptions): Promise<Duplex> {
  const { namespace, pod, port, signal } = options
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/portforward?ports=${port}`
  const protocols = ['v4.channel.k8s.io']
  const socket = await openWebSocket(access, { path, protocols, signal })
  let errorText = ''
  const begun = new Set<number>()
  return createChannelStream(socket, {
    input: channels.data,
    output: channels.data,
    skip: prefix,
    onMessage: (channel, payload) => {
      const isFirst = !begun.has(channel)
      begun.add(channel)
      if (channel === channels.error)
        errorText += payload.subarray(isFirst ? prefix : 0).toString('utf8')
    },
    onClose: () => (errorText === '' ? undefined : new KubernetesError(errorText)),
  })
}
