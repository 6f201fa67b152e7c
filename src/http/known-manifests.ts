import type {
  IncomingMessage,
  OutgoingHttpHeader,
  RequestListener,
  ServerResponse,
} from 'node:http'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { ManifestAnswer, PreparedManifest, Registry, Resolved } from '../registry/registry.ts'
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
  readonly find: PreparedManifest | undefined
  readonly record: RequestRecord
  reply?: Reply
  /** Of the last GET and of the last HEAD. */
  readonly last: { GET?: RequestRecord; HEAD?: RequestRecord }
}

type Reply = {
  readonly digest: string
  readonly mediaType: string
  readonly headers: OutgoingHttpHeader[]
  /** As a text, it is sent with the headers in one piece. */
  readonly body: string
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
 * counted, logged or sent; a failure after the headers ends the connection.
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
    return { resolved, find: resolved.repository.prepare?.(reference), record, last: {} }
  }

  const replyOf = (target: Target, found: ManifestAnswer): Reply => {
    const { digest, mediaType, bytes } = found
    const { reply, resolved } = target
    if (reply?.digest === digest && reply.mediaType === mediaType) return reply
    const { namespace } = resolved
    const headers = { ...commonHeaders, ...manifestHeaders(found), 'oci-namespace': namespace }
    const body = bytes.toString('latin1')
    target.reply = { digest, mediaType, headers: listOf(headers), body }
    return target.reply
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
    if (method !== 'GET' && method !== 'HEAD') return false
    if (headers['if-none-match'] !== undefined || headers['if-match'] !== undefined) return false
    const startedAt = performance.now()
    const known = targets.get(url)
    const target = known ?? parse(url)
    if (target === undefined || !hasOneHost(request)) return false
    const { resolved, find } = target
    const identity = guard.admit(request, 'pull', resolved)
    if (identity === undefined) return false
    const isCheck = method === 'HEAD'
    const found = find?.({ isCheck, maxSize: minReservedPayload })
    if (found === undefined) return false

    const { headers: replyHeaders, body } = replyOf(target, found)
    response.writeHead(200, replyHeaders)
    const { bytes, upstream, cache } = found
    const user = hasLoggedIn(identity) ? identity.name : undefined
    const size = isCheck ? 0 : bytes.length
    const record = recordOf(target, method, { bytes: size, user, cache })
    if (known === undefined) targets.set(url, target)
    guard.count(identity)
    countSent(upstream, size)
    if (isCheck) response.end()
    else response.end(body, 'latin1')
    logRequest(request, response, record, startedAt)
    return true
  }

  return (request, response) => {
    try {
      if (answer(request, response)) return
    } catch {
      if (response.headersSent) return void response.destroy()
      // The routes report it.
    }
    otherwise(request, response)
  }
}
