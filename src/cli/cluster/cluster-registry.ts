import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ExecError,
  execInPod,
  type FoundRegistry,
  findRegistry,
  forwardToPod,
  KubernetesError,
  type UserAccess,
} from '../../kubernetes/kubernetes.ts'
import { pipeSocket } from '../../pipe/pipe.ts'
import { openTunnel, TunnelError, type TunnelState } from '../../tunnel/tunnel.ts'
import { socketOfRegistry } from '../administration/registry-socket.ts'
import type { Context } from '../login/registry-options.ts'
import {
  openServiceAccountLogin,
  type ServiceAccountLogin,
  type ServiceAccountOptions,
} from '../login/service-account-login.ts'
import { collectGarbageLessOften } from '../process/heap.ts'
import type { ClusterOptions } from './cluster-options.ts'
import { openUserAccess } from './user-access.ts'

/** A connection to a registry in a cluster, with the rights of a kubeconfig alone. */
export interface ClusterRegistry {
  /** As nodes and pods name it, such as `localhost:30026`. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  /** Prefixes of hosted repositories; an empty one: all. */
  readonly hosted: readonly string[]
  /** How a command logs in there, if it names a service account. */
  readonly login?: ServiceAccountLogin | undefined
  /** What it is connected to, and how. */
  readonly description: string
  /** A connection to the registry's port. */
  open(): Promise<Duplex>
  /** Resolves when it is closed, with the reason if it gave up. */
  readonly closed: Promise<Error | undefined>
  close(): Promise<void>
}

/** `waiting`: no pod of the registry is ready; it gives up after `limit` milliseconds. */
export type ConnectionState =
  | TunnelState
  | { readonly kind: 'waiting'; readonly reason: Error; readonly limit: number }

/** Milliseconds for a first answer. */
const maxProbe = 10_000
/** Milliseconds for which a ready pod is waited for, as when the only one was deleted; and between two looks. */
const maxWait = 2 * 60_000
const pause = 1000

type Opening = Context & {
  readonly options: ClusterOptions & ServiceAccountOptions
  /** Milliseconds without a connection after which it gives up; default: never. */
  readonly maxOutage?: number
  readonly onState: (state: ConnectionState) => void
  /** Ends waiting for the first connection. */
  readonly signal?: AbortSignal
}

type Access = {
  readonly access: UserAccess
  readonly options: ClusterOptions & ServiceAccountOptions
}

/**
 * Connects by `berth pipe` in a pod of the registry; where the user may not run programs in pods, by port-forward.
 * @throws KubernetesError, TunnelError
 */
export async function openClusterRegistry(opening: Opening): Promise<ClusterRegistry> {
  const { options, environment } = opening
  collectGarbageLessOften()
  if (options.inPod !== undefined) return openByPipe(options.inPod, opening)
  const access = await openUserAccess(options, environment)
  const found = await findReady({ access, ...opening })
  try {
    return await openByExec({ access, ...opening }, found)
  } catch (error) {
    const isForbidden = error instanceof TunnelError && isRefusal(error.cause)
    if (!isForbidden) throw error
    return openByPortForward({ access, ...opening }, found).catch((other: unknown) => {
      throw isRefusal(other) ? mayNotConnect(error, other) : other
    })
  }
}

/** A pod of the registry, as soon as one is ready. */
async function findReady({
  access,
  options,
  onState,
  signal,
  preferred,
}: Opening & Access & { readonly preferred?: string }): Promise<FoundRegistry> {
  const began = performance.now()
  for (let looks = 1; ; looks += 1)
    try {
      return await findRegistry(access, { ...options, preferred, signal })
    } catch (reason) {
      const isTemporary = reason instanceof KubernetesError && reason.isTemporary
      if (!isTemporary || performance.now() - began > maxWait) throw reason
      if (looks === 1) onState({ kind: 'waiting', reason, limit: maxWait })
      await sleep(pause, undefined, { ...(signal && { signal }) })
    }
}

function isRefusal(cause: unknown): boolean {
  return cause instanceof KubernetesError && cause.status === 403
}

function mayNotConnect({ message }: TunnelError, cause: unknown): KubernetesError {
  return new KubernetesError(
    `${message}; it takes the rights create and get on pods/exec, or, for connections that do not survive a break, on pods/portforward`,
    { status: 403, cause },
  )
}

async function openByExec(
  { access, options, version, maxOutage, onState }: Opening & Access,
  first: FoundRegistry,
): Promise<ClusterRegistry> {
  let next: FoundRegistry | undefined = first
  let last = first
  const connect = async (signal: AbortSignal): Promise<Duplex> => {
    // The session is in the pod of the last connection, if that still runs.
    const preferred = last.pod
    last = next ?? (await findRegistry(access, { ...options, preferred, signal }))
    next = undefined
    try {
      return await execInPod(access, { ...last, command: ['berth', 'pipe'], signal })
    } catch (cause) {
      if (!isRefusal(cause)) throw cause
      throw new TunnelError(cause instanceof Error ? cause.message : '', { isFinal: true, cause })
    }
  }
  const tunnel = await openTunnel({
    version,
    connect,
    onState,
    ...(maxOutage !== undefined && { maxOutage }),
  }).catch((error: unknown) => {
    throw error instanceof ExecError ? noPipe(first, error) : error
  })
  const { audiences } = tunnel.registry
  const login = await openServiceAccountLogin({ access, options, audiences }).catch(
    async (error: unknown) => {
      await tunnel.close()
      throw error
    },
  )
  return {
    host: first.host,
    ...tunnel.registry,
    login,
    description: `${describe(access, first)} by exec`,
    open: async () => tunnel.open(),
    closed: tunnel.closed,
    close: () => tunnel.close(),
  }
}

/** In the container of the registry itself. */
async function openByPipe(
  host: string,
  { options, version, onState, maxOutage }: Opening,
): Promise<ClusterRegistry> {
  const path = options.socket ?? (await socketOfRegistry(pipeSocket))
  const connect = async () => {
    const socket = createConnection({ path, allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
  }
  const tunnel = await openTunnel({
    version,
    connect,
    onState,
    ...(maxOutage !== undefined && { maxOutage }),
  })
  return {
    host,
    ...tunnel.registry,
    description: 'this container',
    open: async () => tunnel.open(),
    closed: tunnel.closed,
    close: () => tunnel.close(),
  }
}

/** Streams are connections of their own, and none of them survives a break. The next ones lead to a pod that is ready. */
async function openByPortForward(
  opening: Opening & Access,
  first: FoundRegistry,
): Promise<ClusterRegistry> {
  const { access, options } = opening
  const { host, hosted } = first
  const closing = new AbortController()
  const open = new Set<Duplex>()
  const closed = Promise.withResolvers<undefined>()
  let next: FoundRegistry | undefined = first
  let last = first
  const openStream = async () => {
    const { signal } = closing
    last = next ?? (await findReady({ ...opening, preferred: last.pod, signal }))
    next = undefined
    const stream = await forwardToPod(access, { ...last, signal })
    open.add(stream)
    stream.once('close', () => open.delete(stream))
    return stream
  }
  return {
    host,
    login: await openServiceAccountLogin({ access, options, audiences: undefined }),
    scheme: await schemeOf(await openStream()),
    hosted,
    description: `${describe(access, first)} by port-forward, because exec is forbidden: a connection that breaks is not resumed`,
    open: openStream,
    closed: closed.promise,
    close: async () => {
      closing.abort()
      for (const stream of open) stream.destroy()
      closed.resolve(undefined)
    },
  }
}

/** A server of TLS answers a plain request with an alert, or not at all. */
async function schemeOf(stream: Duplex): Promise<'http' | 'https'> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  for (const event of ['data', 'end', 'close', 'error']) stream.on(event, resolve)
  const timer = setTimeout(resolve, maxProbe)
  stream.write('GET /v2/ HTTP/1.0\r\n\r\n')
  const first = await promise
  clearTimeout(timer)
  stream.destroy()
  return String(first).startsWith('HTTP/') ? 'http' : 'https'
}

function describe(
  { context }: UserAccess,
  { namespace, pod }: Pick<FoundRegistry, 'namespace' | 'pod'>,
): string {
  return `pod ${pod} in namespace ${namespace} of context ${context}`
}

function noPipe({ namespace, pod, container }: FoundRegistry, error: ExecError): KubernetesError {
  const where = `container ${container} of pod ${pod} in namespace ${namespace}`
  const isMissing = /executable file not found|no such file or directory/.test(error.message)
  const reason = isMissing ? 'has no program berth' : 'cannot run berth pipe'
  return new KubernetesError(`${where} ${reason}: ${error.message}`, { cause: error })
}
