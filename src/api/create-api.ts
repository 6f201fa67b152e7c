import type { Auth } from '../auth/auth.ts'
import { refuseOtherOrigins, type Site, type SiteCall } from '../http/http.ts'
import type { CacheMemory, Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { CachedImages, Inventory, Registry } from '../registry/registry.ts'
import type { Explain } from '../why/why.ts'
import { createAccess } from './access.ts'
import type { Handlers, Reply } from './call.ts'
import {
  createCachedImageHandlers,
  createDeleteManifest,
  createDeleteTag,
  createGetRemovedTags,
  createGetTagHistory,
  createRefreshTag,
  createUndoTag,
  type TagVersions,
} from './changes/changes.ts'
import { createExpiries, type Retention } from './expiries.ts'
import { createCompare, createListings, createLookInside } from './files/files.ts'
import { createGetInUse } from './get-in-use.ts'
import { createGetSession } from './get-session.ts'
import { createGetWhy } from './get-why.ts'
import { createGetDetails, createGetManifest } from './images/images.ts'
import { openapiDocument } from './openapi.ts'
import { type OperationName, openOperations, operations } from './operations.ts'
import { createGetOverview, type OverviewOptions } from './overview/overview.ts'
import { findOperation } from './paths.ts'
import { sendProblem, sendReply } from './replies.ts'
import {
  createGetRepositories,
  createGetTags,
  createGetUsage,
  type Trash,
} from './repositories/repositories.ts'
import type { Workloads } from './uses.ts'

type ApiOptions = OverviewOptions & {
  readonly auth: Auth
  readonly title: string
  /** host[:port] in pull commands; undefined: the host of the request. */
  readonly pullHost: string | undefined
  readonly registry: Registry
  readonly inventory: Inventory
  readonly cachedImages: CachedImages
  readonly workloads: Workloads
  readonly retention: Retention
  readonly explain: Explain
  /** For listings of files that are remembered, and for those that are being made. */
  readonly caches: CacheMemory
  readonly memory: Reservations
  /** Undefined: the hosted volume is only read. */
  readonly versions: (TagVersions & Trash) | undefined
}

/** A handler whose call was parsed as its operation demands. */
type AnyHandler = (call: object) => Promise<Reply<unknown>>

/** The API of the page, below `/api/`. */
export function createJsonApi(options: ApiOptions): Site {
  const { auth, version } = options
  const access = createAccess(options.registry, auth)
  const expiries = createExpiries(options.retention, Date.now)
  const lookInside = createLookInside(options.memory)
  const parts = { ...options, access, expiries, lookInside }
  const { files, file } = createListings(parts)
  const { usage, taggedUsage } = createGetUsage(parts)
  let document: ReturnType<typeof openapiDocument> | undefined

  const handlers: Handlers = {
    // Made when it is asked for, because it would be a third of the time of a start.
    openapi: async () => {
      document ??= openapiDocument(version)
      return { body: document }
    },
    session: createGetSession({ ...options, seesAll: access.seesAll }),
    repositories: createGetRepositories(parts),
    usage,
    taggedUsage,
    tags: createGetTags(parts),
    manifest: createGetManifest(parts),
    details: createGetDetails(parts),
    inUse: createGetInUse(parts),
    why: createGetWhy(parts),
    files,
    file,
    compare: createCompare(parts),
    overview: createGetOverview(parts),
    tagHistory: createGetTagHistory(parts),
    removedTags: createGetRemovedTags(parts),
    undoTag: createUndoTag(parts),
    refreshTag: createRefreshTag(parts),
    ...createCachedImageHandlers(parts),
    deleteTag: createDeleteTag(parts),
    deleteManifest: createDeleteManifest(parts),
  }

  const answer = async (call: SiteCall) => {
    const { request, reply, path, record, identify, authorize } = call
    record.route = '/api/'
    const found = findOperation(request.method, path)
    if ('allow' in found) {
      reply.header('allow', found.allow.join(', '))
      throw new RegistryError('UNSUPPORTED', {
        message: `method ${request.method} is not supported here`,
      })
    }
    const { operation, texts } = found
    record.route = operations[operation].path
    if (operations[operation].method !== 'GET') assertIntended(call)
    const identity = openOperations.has(operation) ? undefined : await identify()
    const query = parseQuery(operation, call.query)
    const handle = handlers[operation] as AnyHandler
    const { body, ...how } = await handle({ request, identify, authorize, query, texts, identity })
    return sendReply(request, reply, { body, ...how })
  }

  return {
    has: (path) => path === '/api' || path.startsWith('/api/'),
    answer: (call) =>
      answer(call).catch((error: unknown) => {
        call.record.error = error
        return sendProblem(call, error)
      }),
  }
}

/**
 * The danger: a browser adds a login that it remembers to requests of other pages. A form cannot send JSON,
 * and no page of another origin can send DELETE.
 */
function assertIntended({ request }: SiteCall): void {
  refuseOtherOrigins(request)
  const [type = ''] = (request.headers['content-type'] ?? '').split(';')
  if (request.method !== 'POST' || type.trim().toLowerCase() === 'application/json') return
  throw new RegistryError('UNSUPPORTED', {
    status: 415,
    message: 'a POST request needs the header Content-Type: application/json',
  })
}

function parseQuery(operation: OperationName, query: URLSearchParams) {
  const parsed = operations[operation].query.safeParse(Object.fromEntries(query))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = issue?.path.join('.') || 'the query'
  throw new RegistryError('UNSUPPORTED', {
    status: 400,
    message: `${field}: ${issue?.message ?? 'invalid'}`,
  })
}
