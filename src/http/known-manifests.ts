import type {
  IncomingMessage,
  OutgoingHttpHeader,
  RequestListener,
  ServerResponse,
} from 'node:http'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { formatReference, parseReference, type Reference } from '../oci/reference.ts'
import type { ManifestAnswer, Registry, Resolved } from '../registry/registry.ts'
import type { AccessLog } from './access-log.ts'
import type { RequestRecord } from './call.ts'
import { type Guard, hasLoggedIn } from './guard.ts'
import { manifestHeaders, manifestRoute } from './manifests.ts'
import { parseTarget, pathMatcher } from './paths.ts'
import { commonHeaders, listOf, minReservedPayload } from './replies.ts'
import { resolveRepository } from './resolve-repository.ts'
import type { CountSent } from './sent-bytes.ts'
import { hasOneHost } from './server.ts'
import type { Site } from './site.ts'

type Options = {
  readonly registry: Registry
  readonly guard: Guard
  readonly sites: readonly Site[]
  readonly logRequest: AccessLog
  readonly countSent: CountSent
  /** Answers all other requests. */
  readonly otherwise: RequestListener
}

/** What a request target means, and how it was answered last. */
type Target = {
  readonly resolved: Resolved
  readonly reference: Reference
  readonly record: RequestRecord
  bytes?: Buffer
  headers?: OutgoingHttpHeader[]
  /** Of the last GET and of the last HEAD. */
  readonly last: { GET?: RequestRecord; HEAD?: RequestRecord }
}

/** What differs between the records of a target. */
type Varying = {
  readonly bytes: number
  readonly user: string | undefined
  readonly cache: ManifestAnswer['cache'] | undefined
}

const maxTargets = 1000

/**
 * Answers GET and HEAD of a manifest that is in memory, from a client whose access is known, in one turn and without
 * fastify: most requests of a cluster are such. All others, and all that fail, are answered otherwise, before anything is
 * counted, logged or sent.
 */
export function answerKnownManifests(options: Options): RequestListener {
  const { registry, guard, sites, logRequest, countSent, otherwise } = options
  const match = pathMatcher(manifestRoute)
  const targets = new LRUCache<string, Target>(limitEntries(maxTargets))

  const parse = (url: string): Target | undefined => {
    const { path, query } = parseTarget(url)
    const captures = match(path)
    if (captures === undefined || sites.some((site) => site.has(path))) return undefined
    const reference = parseReference(captures.reference)
    const record = { route: manifestRoute, bytes: 0, reference: formatReference(reference) }
    const resolved = resolveRepository(registry, { captures, query, record })
    return { resolved, reference, record, last: {} }
  }

  const headersOf = (target: Target, found: ManifestAnswer): OutgoingHttpHeader[] => {
    if (target.headers !== undefined && target.bytes === found.bytes) return target.headers
    const { namespace } = target.resolved
    const all = { ...commonHeaders, ...manifestHeaders(found), 'oci-namespace': namespace }
    const list = listOf(all)
    target.bytes = found.bytes
    target.headers = list
    return list
  }

  /** That of the last request, if this one is equal. */
  const recordOf = (
    { record, last }: Target,
    method: 'GET' | 'HEAD',
    { bytes, user, cache }: Varying,
  ): RequestRecord => {
    const known = last[method]
    if (known?.user === user && known?.bytes === bytes && known.cache === cache) return known
    const made: RequestRecord = { ...record, bytes }
    if (user !== undefined) made.user = user
    if (cache !== undefined) made.cache = cache
    last[method] = made
    return made
  }

  const answer = (request: IncomingMessage, response: ServerResponse): boolean => {
    const { method, url = '', headers } = request
    if ((method !== 'GET' && method !== 'HEAD') || headers['if-none-match'] !== undefined)
      return false
    const startedAt = performance.now()
    const known = targets.get(url)
    const target = known ?? parse(url)
    if (target === undefined || !hasOneHost(request)) return false
    const { resolved, reference } = target
    const identity = guard.admit(request, 'pull', resolved)
    if (identity === undefined) return false
    const isCheck = method === 'HEAD'
    const found = resolved.repository.known?.(reference, { isCheck, maxSize: minReservedPayload })
    if (found === undefined) return false

    response.writeHead(200, headersOf(target, found))
    const { bytes, upstream, cache } = found
    const user = hasLoggedIn(identity) ? identity.name : undefined
    const size = isCheck ? 0 : bytes.length
    const record = recordOf(target, method, { bytes: size, user, cache })
    if (known === undefined) targets.set(url, target)
    guard.count(identity)
    countSent(upstream, size)
    logRequest(request, response, record, startedAt)
    // As a text, the body is sent with the headers in one piece.
    if (isCheck) response.end()
    else response.end(bytes.toString('latin1'), 'latin1')
    return true
  }

  return (request, response) => {
    try {
      if (answer(request, response)) return
    } catch {
      // The routes report it.
    }
    otherwise(request, response)
  }
}
