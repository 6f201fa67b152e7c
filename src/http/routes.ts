import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Auth, Identity } from '../auth/auth.ts'
import type { Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Registry } from '../registry/registry.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createGetBlob, headBlob } from './blobs.ts'
import type { Call, Endpoint } from './call.ts'
import type { Cors } from './cors.ts'
import { type Guard, hasLoggedIn } from './guard.ts'
import { createGetCatalog, getTags } from './listings.ts'
import { createPutManifest, deleteBlob, deleteManifest } from './manifest-push.ts'
import { createGetManifest, manifestRoute } from './manifests.ts'
import { type Captures, parseTarget, pathMatcher } from './paths.ts'
import { getReferrers } from './referrers.ts'
import { challenge, sendJson } from './replies.ts'
import { type BodyPaces, createRequestBodies } from './request-bodies.ts'
import { resolveRepository } from './resolve-repository.ts'
import type { Send } from './send.ts'
import type { CountSent } from './sent-bytes.ts'
import type { Site } from './site.ts'
import type { UploadOwners } from './upload-owners.ts'
import { createUploads } from './uploads.ts'
import { createVisibility } from './visibility.ts'
import { writing } from './writing.ts'

type Route = {
  readonly path: string
  readonly match: (path: string) => Captures | undefined
  readonly methods: Readonly<Record<string, Endpoint>>
}

type RoutesOptions = {
  readonly registry: Registry
  readonly auth: Auth
  readonly guard: Guard
  readonly send: Send
  readonly memory: Reservations
  readonly answerTime: number
  readonly telemetry: Telemetry
  /** Counts bytes of manifests. */
  readonly countSent: CountSent
  readonly paces?: BodyPaces | undefined
  readonly sites: readonly Site[]
  readonly cors?: Cors | undefined
  readonly uploadOwners?: UploadOwners | undefined
}

/**
 * The OCI distribution API: a table like "Endpoints" in the specification, with the action that each
 * method requires.
 */
export function createRoutes({
  registry,
  auth,
  guard,
  send,
  memory,
  answerTime,
  telemetry,
  countSent,
  paces,
  sites,
  cors,
  uploadOwners,
}: RoutesOptions) {
  const { metrics } = telemetry
  const isVisible = createVisibility(registry, auth)
  const bodies = createRequestBodies({ memory, metrics, paces })
  const uploads = createUploads({ bodies, isVisible, owners: uploadOwners, metrics })

  const manifest = { action: 'pull', handle: createGetManifest(countSent) } as const
  const tags = { action: 'pull', handle: getTags } as const
  const referrers = { action: 'pull', handle: getReferrers } as const
  const blob = {
    action: 'pull',
    handle: createGetBlob({ send, memory, answerTime, ...telemetry }),
  } as const
  const blobStat = { action: 'pull', handle: headBlob } as const
  const catalog = {
    action: 'authenticated',
    handle: createGetCatalog(registry, isVisible),
  } as const
  const version = {
    action: 'authenticated',
    handle: ({ reply }: Call) => sendVersion(reply, auth),
  } as const

  const uploadStatus = writing('push', uploads.status)

  const table = [
    route(manifestRoute, {
      GET: manifest,
      HEAD: manifest,
      PUT: writing('push', createPutManifest({ bodies, metrics })),
      DELETE: writing('delete', deleteManifest),
    }),
    route('/v2/<name>/blobs/<digest>', {
      GET: blob,
      HEAD: blobStat,
      DELETE: writing('delete', deleteBlob),
    }),
    route('/v2/<name>/tags/list', { GET: tags, HEAD: tags }),
    route('/v2/<name>/referrers/<digest>', { GET: referrers, HEAD: referrers }),
    route('/v2/<name>/blobs/uploads/', { POST: writing('push', uploads.start) }),
    route('/v2/<name>/blobs/uploads/<upload>', {
      GET: uploadStatus,
      HEAD: uploadStatus,
      PATCH: writing('push', uploads.append),
      PUT: writing('push', uploads.finish),
      DELETE: writing('push', uploads.cancel),
    }),
    route('/v2/_catalog', { GET: catalog, HEAD: catalog }),
    route('/v2/', { GET: version, HEAD: version }),
    route('/v2', { GET: version, HEAD: version }),
  ]

  const identify = (request: FastifyRequest): Identity | Promise<Identity> => {
    const identity = guard.identify(request.raw)
    return identity instanceof Promise
      ? identity.then((known) => recorded(request, known))
      : recorded(request, identity)
  }

  const authorizeAndHandle = (call: Call, endpoint: Endpoint, captures: Captures): unknown => {
    if (endpoint.action === 'authenticated') return endpoint.handle(call)
    const { record, query, identity, reply } = call
    const resolved = resolveRepository(registry, { captures, query, record })
    guard.authorize(identity, endpoint.action, resolved)
    if (resolved.namespace !== undefined) reply.header('oci-namespace', resolved.namespace)
    return endpoint.handle({ ...resolved, ...call, reference: captures.reference })
  }

  /**
   * Finds the route, authenticates, authorizes, and only then calls the route's handler. Synchronous where these are,
   * because promises are a good part of the cost of a short request.
   */
  return (request: FastifyRequest, reply: FastifyReply): unknown => {
    const { record } = request
    const { path, query } = parseTarget(request.raw.url ?? '')
    const site = sites.find((each) => each.has(path))
    if (site !== undefined) {
      const { authorize } = guard
      const call = { request, reply, path, query, record, authorize }
      return site.answer({ ...call, identify: async () => identify(request) })
    }
    const { route, captures } = findRoute(table, path)
    record.route = route.path
    if (cors?.handle(request, reply) === true) return undefined
    const endpoint = route.methods[request.method]
    if (endpoint === undefined) {
      reply.header('allow', Object.keys(route.methods).join(', '))
      throw new RegistryError('UNSUPPORTED', {
        message: `method ${request.method} is not supported for ${route.path}`,
      })
    }

    const isAllowedOrigin = cors?.allows(request) ?? false
    const handle = (identity: Identity) =>
      authorizeAndHandle(
        { request, reply, query, identity, isAllowedOrigin, record },
        endpoint,
        captures,
      )
    const identity = identify(request)
    return identity instanceof Promise ? identity.then(handle) : handle(identity)
  }
}

function recorded({ record }: FastifyRequest, identity: Identity): Identity {
  if (hasLoggedIn(identity)) record.user = identity.name
  return identity
}

function route(path: string, methods: Route['methods']): Route {
  return { path, methods, match: pathMatcher(path) }
}

function findRoute(table: readonly Route[], path: string): { route: Route; captures: Captures } {
  for (const route of table) {
    const captures = route.match(path)
    if (captures !== undefined) return { route, captures }
  }
  throw new RegistryError('UNSUPPORTED', {
    status: 404,
    message: 'no such path: the registry API is below /v2/',
  })
}

/**
 * docker and podman request `/v2/` first; podman looks for a challenge in this response only, whatever
 * its status.
 */
function sendVersion(reply: FastifyReply, auth: Auth) {
  if (auth.mode === 'optional') reply.header('www-authenticate', challenge)
  return sendJson(reply, {})
}
