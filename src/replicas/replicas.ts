import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Reservations } from '../memory/memory.ts'
import type { FindOrigins, Registry, SharedManifests } from '../registry/registry.ts'
import type { Transport } from '../remote/remote.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { answerChange, createTellChange } from './change-notices.ts'
import { createAnswerList } from './list-answers.ts'
import { createMembers, type Endpoint } from './members.ts'
import { createNotify } from './notices.ts'
import { createFindOrigins } from './replica-origin.ts'
import { createSharedManifests } from './shared-manifests.ts'
import { askingHeader, createSignatures } from './signature.ts'
import { announceStart, createAnswerStart } from './start-notices.ts'
import { createAnswerTag } from './tag-answers.ts'
import { createUploadOwners } from './upload-owners.ts'

export { writerIn } from './signature.ts'

/** Between two signs of a replica that cannot answer yet, in milliseconds. */
const signInterval = 1000

/** The other replicas of this registry, and their requests to this one. */
export interface Replicas {
  /** Where blobs are before the upstream: at the replica that owns the digest. */
  readonly findOrigins: FindOrigins
  /**
   * Whether a request comes from another replica; answers it with 401 if not, and with 404 if it comes from this one,
   * which is known under a second address. Until the headers of its response are
   * sent, it sends 102 (Processing) each second.
   */
  admit(request: IncomingMessage, response: ServerResponse): boolean
  /** Manifests and tags that other replicas get for all. */
  readonly shared: SharedManifests
  /** Answers questions of other replicas for tags and lists, and notices of their starts and changes. False: it is another request. */
  answer(registry: Registry, request: IncomingMessage, response: ServerResponse): boolean
  /** From now on this one answers the others, which may have left it out while it did not. */
  announce(): void
  /** Upload sessions at other replicas. */
  readonly uploadOwners: ReturnType<typeof createUploadOwners>
  /** The secrets have changed. @throws Error if there is none, or if one is too short. */
  useSecrets(file: string): void
  close(): Promise<void>
}

type ReplicasOptions = Pick<Parameters<typeof createMembers>[0], 'self' | 'lookup' | 'uptime'> & {
  /** The wall clock, for signatures. */
  readonly now: () => number
  readonly endpoints: readonly Endpoint[]
  /** The content of the file with the secrets that all replicas share. */
  readonly secrets: string
  /** Closed with the replicas. */
  readonly transport: Transport
  readonly memory: Reservations
  readonly telemetry: Telemetry
}

/** @throws Error if there is no secret, or if one is too short. */
export function createReplicas(options: ReplicasOptions): Replicas {
  const { secrets, transport, memory, telemetry, now } = options
  const { metrics, log } = telemetry
  const signatures = createSignatures(secrets, now)
  const members = createMembers({ ...options, log })
  metrics.onScrape(() => metrics.replicas.set(members.all().length))
  const answerTag = createAnswerTag(signatures)
  const answerList = createAnswerList(signatures)
  const answerStart = createAnswerStart(members)
  const notify = createNotify(signatures, transport)
  const closing = new AbortController()
  let announced: Promise<void> | undefined

  return {
    findOrigins: createFindOrigins({ members, signatures, transport, metrics }),
    shared: {
      ...createSharedManifests({ members, signatures, transport, memory, metrics }),
      changed: createTellChange({ members, notify, log }),
    },
    answer: (registry, request, response) =>
      answerStart(request, response) ||
      answerChange(registry, request, response) ||
      answerTag(registry, request, response) ||
      answerList(registry, request, response),
    announce: () => {
      announced ??= announceStart({ members, notify, signal: closing.signal })
    },
    uploadOwners: createUploadOwners({
      members,
      signatures,
      transport,
      log,
    }),
    useSecrets: signatures.use,
    admit: ({ method = '', url: target = '', headers }, response) => {
      if (signatures.verify(headers.authorization, { method, target }) === undefined) {
        response.writeHead(401, { connection: 'close' }).end()
        return false
      }
      if (headers[askingHeader] === members.own) {
        response.writeHead(404).end()
        return false
      }
      const timer = setInterval(() => {
        if (response.headersSent) clearInterval(timer)
        else response.writeProcessing()
      }, signInterval)
      response.once('close', () => clearInterval(timer))
      return true
    },
    close: async () => {
      members.close()
      closing.abort()
      await announced
      await transport.close()
    },
  }
}
