import type { Duplex } from 'node:stream'
import { z } from 'zod'
import { createChannelStream, openWebSocket } from './channel-stream.ts'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'

export type PodContainer = {
  readonly namespace: string
  readonly pod: string
  readonly container: string
}

type ExecOptions = PodContainer & {
  /** Is part of the request's URL, which is logged: no secrets. */
  readonly command: readonly string[]
  readonly signal: AbortSignal
}

const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3 } as const
/** Bytes of standard error that are kept for the message. */
const maxErrorText = 4096

const statusSchema = z.object({
  status: z.string(),
  message: z.string().optional(),
  details: z
    .object({
      causes: z
        .array(z.object({ reason: z.string().optional(), message: z.string().optional() }))
        .nullish(),
    })
    .nullish(),
})

/** A program in a container failed, or could not be started. */
export class ExecError extends Error {
  override readonly name = 'ExecError'
  /** Undefined: it could not be started. */
  readonly exitCode: number | undefined

  constructor(message: string, exitCode?: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/**
 * Runs a command in a container. The stream is its standard input and output; it ends with the command, and
 * fails with what the command wrote to standard error, or when the connection breaks.
 *
 * `v5.channel.k8s.io` can close standard input alone. API servers before 1.30 have `v4` only, whose stream
 * cannot be half-closed.
 * @throws KubernetesError if the API server refuses it, or cannot be reached.
 */
export async function execInPod(access: UserAccess, options: ExecOptions): Promise<Duplex> {
  const { namespace, pod, container, command, signal } = options
  const query = new URLSearchParams([
    ['container', container],
    ...command.map((word) => ['command', word] as [string, string]),
    ...['stdin', 'stdout', 'stderr'].map((name) => [name, 'true'] as [string, string]),
  ])
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec?${query}`
  const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io']
  const socket = await openWebSocket(access, { path, protocols, signal })
  let errorText = ''
  let status: string | undefined
  return createChannelStream(socket, {
    input: channels.stdin,
    output: channels.stdout,
    onMessage: (channel, payload) => {
      if (channel === channels.stderr)
        errorText = (errorText + payload.toString('utf8')).slice(-maxErrorText)
      if (channel === channels.status) status = payload.toString('utf8')
    },
    onClose: () => {
      if (status === undefined)
        return new KubernetesError('the connection to the API server broke', { status: undefined })
      const {
        status: result,
        message = 'it failed',
        details,
      } = statusSchema.parse(JSON.parse(status))
      if (result === 'Success') return undefined
      const cause = details?.causes?.find(({ reason }) => reason === 'ExitCode')
      const exitCode = cause === undefined ? undefined : Number(cause.message)
      return new ExecError(errorText.trim() || message, exitCode)
    },
  })
}
