import { lookup } from 'node:dns/promises'
import type { Auth, Identity } from '../../auth/auth.ts'
import { type Config, listenHosts } from '../../config/config.ts'
import { createApi, type Listeners, listen, type Send } from '../../http/http.ts'
import { type FollowedFiles, followFiles, readRegularFile } from '../../input/input.ts'
import type { Memory, Reservations } from '../../memory/memory.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import { createReplicaView, type Registry } from '../../registry/registry.ts'
import { createTransport } from '../../remote/remote.ts'
import { createReplicas, type Replicas, writerIn } from '../../replicas/replicas.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { attempt } from '../process/start-errors.ts'

/** Milliseconds, and bytes per second: a replica that is slower than this, and not because of its upstream, is replaced. */
const timeouts = { connect: 2000, firstByte: 5000, idle: 20_000, minimumRate: 128 * 1024 }

type OpenOptions = {
  readonly config: NonNullable<Config['replicas']>
  readonly outbound: Outbound
  readonly version: string
  readonly memory: Reservations
  readonly telemetry: Telemetry
}

type OpenedReplicas = Replicas & {
  readonly listening: Config['listen']
  readonly followed: FollowedFiles
}

/** @throws StartError if the file with the secret cannot be used. */
export function openReplicas(options: OpenOptions): Promise<OpenedReplicas> {
  const { config, outbound, version, memory, telemetry } = options
  const { secretFile, listen: listening, address, addresses } = config
  return attempt('replicas.secretFile', async () => {
    const secrets = await readRegularFile(secretFile)
    const replicas = createReplicas({
      self: { host: address, port: listening.port },
      endpoints: addresses,
      lookup: (host) => lookup(host, { all: true }),
      now: Date.now,
      uptime: () => performance.now(),
      secrets,
      transport: createTransport({
        timeouts,
        outbound,
        host: address,
        isDirect: true,
        userAgent: `berth/${version}`,
      }),
      memory,
      telemetry,
    })
    const followed = followFiles({
      files: [secretFile],
      initial: [secrets],
      use: ([text = '']) => replicas.useSecrets(text),
      log: telemetry.log,
    })
    return {
      ...replicas,
      listening,
      followed,
      close: async () => {
        await Promise.all([followed.close(), replicas.close()])
      },
    }
  })
}

type ListenOptions = {
  readonly config: Pick<Config, 'limits'>
  readonly replicas: OpenedReplicas
  readonly registry: Registry
  readonly send: Send
  readonly memory: Memory
  readonly telemetry: Telemetry
}

/**
 * A listener of its own, so that no user's login leads there: each request is signed with the secret.
 */
export async function listenForReplicas(options: ListenOptions): Promise<Listeners> {
  const { config, replicas, registry, send, memory, telemetry } = options
  const { listening: address } = replicas
  const { limits } = config
  const api = await createApi({
    registry: createReplicaView(registry),
    auth: trusting,
    hosts: undefined,
    memory: memory.inFlight,
    answerTime: limits.fillDeadline,
    telemetry,
    send,
    // What a replica has handed on is not handed on again.
    uploadOwners: { ...replicas.uploadOwners, send: async () => undefined },
  })
  const listeners = await attempt('replicas.listen', () =>
    listen({
      hosts: listenHosts(address),
      port: address.port,
      handler: (request, response) => {
        if (!replicas.admit(request, response)) return
        if (!replicas.answer(registry, request, response)) api(request, response)
      },
      maxConnections: limits.connections,
      connectionMemory: memory.connections,
      memory: memory.inFlight,
    }),
  )
  replicas.announce()
  return listeners
}

/** The replica that sends a request has decided about its client's access. */
const trusting: Auth = {
  mode: 'off',
  known: (authorization) => identityOf(writerIn(authorization)),
  authenticate: (authorization) => identityOf(writerIn(authorization)),
  allows: () => true,
  extentOf: () => 'all',
  reload: async () => {},
}

/** The identity whose upload sessions are those of the writer. */
function identityOf(writer: string): Identity {
  if (writer.startsWith('user ')) return { kind: 'user', name: writer.slice('user '.length) }
  return writer === 'anonymous' ? { kind: 'anonymous' } : { kind: 'auth-off' }
}
