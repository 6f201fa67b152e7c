import type { RequestListener } from 'node:http'
import type { Auth } from '../auth/auth.ts'
import type { Reservations } from '../memory/memory.ts'
import type { Registry } from '../registry/registry.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAccessLog, type OnFailure } from './access-log.ts'
import { type CorsOptions, createCors } from './cors.ts'
import { createGuard } from './guard.ts'
import { createHostCheck } from './host-check.ts'
import { answerKnownManifests } from './known-manifests.ts'
import { type Listeners, listen } from './listeners.ts'
import { createProbes, type Readiness } from './probes.ts'
import type { BodyPaces } from './request-bodies.ts'
import { createRoutes } from './routes.ts'
import { createSend, type Send } from './send.ts'
import { createSendfile } from './sendfile/sendfile.ts'
import { createCountSent } from './sent-bytes.ts'
import { createServer } from './server.ts'
import type { Site } from './site.ts'
import type { UploadOwners } from './upload-owners.ts'

export { hasAlready } from './conditions.ts'
export { parseKeyPair, validityProblem } from './key-pair.ts'
export { type Listeners, listen } from './listeners.ts'
export type { Readiness } from './probes.ts'
export type { Send } from './send.ts'
export type { Site, SiteCall } from './site.ts'
export { refuseOtherOrigins } from './writing.ts'

type ApiOptions = {
  readonly registry: Registry
  readonly auth: Auth
  /**
   * Host names, besides private ones, under which anonymous requests are answered; undefined for any
   * host, when TLS authenticates it.
   */
  readonly hosts: readonly string[] | undefined
  readonly telemetry: Telemetry
  readonly send: Send
  /** Memory for send buffers. */
  readonly memory: Reservations
  /** Maximum time until the response headers, in milliseconds. */
  readonly answerTime: number
  /** How fast request bodies must arrive; replaces the default. */
  readonly paces?: BodyPaces
  /** What is served beside `/v2/`. */
  readonly sites?: readonly Site[] | undefined
  /** Undefined: only pages of the same origin. */
  readonly cors?: CorsOptions | undefined
  readonly onFailure?: OnFailure | undefined
  /** Upload sessions of other replicas; undefined: there are none. */
  readonly uploadOwners?: UploadOwners | undefined
}

/** What sends blobs, for all listeners of a process; with sendfile(2) where the system has it, if `useSendfile`. */
export function openSend(useSendfile: boolean): Send {
  return createSend(useSendfile ? createSendfile() : undefined)
}

/** Creates the handler of the OCI distribution API. */
export async function createApi({
  registry,
  auth,
  hosts,
  telemetry,
  send,
  memory,
  answerTime,
  paces,
  sites = [],
  cors,
  onFailure,
  uploadOwners,
}: ApiOptions): Promise<RequestListener> {
  const { metrics } = telemetry
  const guard = createGuard({ auth, checkHost: hosts && createHostCheck(hosts), metrics })
  const logRequest = createAccessLog(telemetry, onFailure)
  const countSent = createCountSent(metrics, 'manifest')
  const app = createServer({
    answer: createRoutes({
      ...{ registry, auth, guard, send, memory, answerTime, telemetry, countSent, paces, sites },
      cors: cors && createCors(cors),
      uploadOwners,
    }),
    memory,
    logRequest,
  })
  await app.ready()
  const { routing } = app
  // Pages of other origins need headers of their own.
  return cors === undefined
    ? answerKnownManifests({ registry, guard, sites, logRequest, countSent, otherwise: routing })
    : routing
}

const probes = ['/livez', '/readyz', '/live', '/ready']

type AdminOptions = {
  readonly hosts: readonly string[]
  readonly port: number
  readonly readiness: () => Readiness
  readonly telemetry: Telemetry
  readonly isAlive?: () => boolean
  readonly status?: () => object
}

/**
 * Serves `/livez`, `/readyz`, `/metrics` and, if there is a `status`, `/status`. The probes are answered
 * above the connection limit, so that clients that hold all connections cannot make them fail.
 */
export async function listenAdmin({ hosts, port, ...options }: AdminOptions): Promise<Listeners> {
  const app = createProbes(options)
  await app.ready()
  return listen({
    hosts,
    port,
    handler: app.routing,
    maxConnections: 128,
    isServedAboveLimit: ({ url = '' }) => probes.includes(url),
    timeouts: { headers: 5000, request: 10_000, idle: 10_000 },
  })
}
