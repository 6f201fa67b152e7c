import type { Access, Credentials } from '../credentials/credentials.ts'
import type { Chunks } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import type { Attempt, Authorization } from './authorization.ts'
import { adviceToList, UpstreamFailure } from './faults.ts'
import type { Origins, Trust } from './origins.ts'
import { errorOf, readReason, reasonIn } from './response-error.ts'
import { statusLabel } from './status-label.ts'
import type { Target } from './token-scope.ts'
import type { Answer, Request, Transport } from './transport.ts'
import type { UploadBody } from './upload-body.ts'

/** One request to the upstream. */
export type OutgoingRequest = {
  readonly method: Request['method']
  /** Path and query below the upstream's origin, built from parsed names only. */
  readonly path: string
  /** Instead of `path`: the URL, on its own origin, to which the upstream directed this request. */
  readonly location?: URL
  /** What the request does in the repository (default: pull). */
  readonly access?: Access
  /** The upstream's name of the repository that a blob is mounted from. */
  readonly mountFrom?: string
  /** It is for the list of all repositories, which has a scope of its own. */
  readonly isCatalog?: boolean
  /** Opens the body, once for each time that the request is sent. */
  readonly body?: () => Buffer | UploadBody
  /** The upstream's name of the requested repository; empty: the registry as a whole. */
  readonly repository: string
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
  /**
   * For an API that an upstream may not support: a denial, 501 and a redirect to another origin are
   * returned as answers, to be dropped. 501 to HEAD is always returned: some proxies refuse HEAD.
   */
  readonly isOptional?: boolean
  /** Milliseconds until the headers of each answer, if less than the default. */
  readonly firstByte?: number
  /** Uses a connection of its own. */
  readonly isFresh?: boolean
}

/**
 * Sends one request with its credential, follows redirects and returns the answer. 200, 206 and 404
 * are returned, as are other 4XX that are not refusals, and 501 to HEAD; everything else throws. The only retry is
 * with a new credential.
 */
export interface Sending {
  send(request: OutgoingRequest): Promise<Answer>
}

type SendingOptions = {
  readonly base: URL
  /** The upstream's name in metrics. */
  readonly upstream: string
  readonly credentials: Pick<Credentials, 'identity' | 'advice' | 'problem'>
  readonly transport: Transport
  readonly authorization: Authorization
  readonly origins: Origins
  readonly metrics: Metrics
}

const maxRedirects = 3
const redirects = new Set([301, 302, 303, 307, 308])
/** Redirects that keep method and body (RFC 9110, section 15.4). */
const redirectsOfWrites = new Set([307, 308])
const denialStatuses = new Set([401, 403, 429])
const unsupportedStatuses = new Set([401, 403, 501])

/**
 * 1. Send with the credential; on 401, and on ECR's equivalents, authorization decides whether to
 *    retry once.
 * 2. Follow redirects here, without the credential once the origin differs.
 * 3. Classify the answer: a refusal, a failure, or a body to read.
 */
export function createSending(options: SendingOptions): Sending {
  const { base, upstream, credentials, transport, authorization, origins, metrics } = options

  const sendOnce = async (
    request: OutgoingRequest,
    url: URL,
    trust: Trust,
    authorize: string | undefined,
  ): Promise<Answer> => {
    const { method, signal, firstByte, isFresh } = request
    const body = request.body?.()
    const headers = {
      ...request.headers,
      ...lengthOf(body),
      ...(authorize !== undefined && { authorization: authorize }),
    }
    const stop = metrics.upstreamDuration.startTimer({ upstream })
    try {
      const answer = await transport.send({
        ...{ method, url, trust, headers, body, signal, firstByte, isFresh },
      })
      metrics.upstreamRequests.inc({ upstream, status: statusLabel(answer.status) })
      return answer
    } catch (error) {
      metrics.upstreamRequests.inc({ upstream, status: 'error' })
      throw error
    } finally {
      stop()
    }
  }

  const sendAuthorized = async (request: OutgoingRequest, url: URL): Promise<Answer> => {
    const attempt: Attempt = {}
    const target = targetOf(request)
    for (;;) {
      const authorize = await authorization.header(attempt, target)
      const answer = await sendOnce(request, url, 'own', authorize)
      if (answer.status === 400 || answer.status === 403) {
        const body = await readReason(answer)
        const reason = reasonIn(body)
        if (await authorization.expired(attempt, reason)) continue
        authorization.accepted(attempt)
        return { ...answer, body: replay(body) }
      }
      if (answer.status !== 401) {
        authorization.accepted(attempt)
        return answer
      }
      if (!(await mayRetryAuthorized(attempt, target, answer))) return answer
      answer.drop()
    }
  }

  const mayRetryAuthorized = async (
    attempt: Attempt,
    target: Target,
    answer: Answer,
  ): Promise<boolean> => {
    try {
      return await authorization.challenged(attempt, target, answer.header('www-authenticate'))
    } catch (error) {
      answer.drop()
      throw error
    }
  }

  /** The danger: content that is written to another origin is missing from this one. */
  const trustIn = (target: URL, request: OutgoingRequest, status: number): Trust | undefined => {
    const trust = origins.redirect(target, kindOf(request))
    if (targetOf(request).access === 'pull') return trust
    return trust === 'own' && redirectsOfWrites.has(status) ? trust : undefined
  }

  /** The last answer of the redirects, and its URL. */
  const follow = async (request: OutgoingRequest, requested: URL, first: Answer) => {
    let answer = first
    let url = requested
    for (let hops = 0; redirects.has(answer.status); hops += 1) {
      const location = answer.header('location')
      const target = location ? URL.parse(location, url.href) : null
      const trust = target === null ? undefined : trustIn(target, request, answer.status)
      if (request.isOptional && trust !== 'own') break
      answer.drop()
      if (target === null || trust === undefined)
        throw forbiddenRedirect(base.origin, target, targetOf(request).access !== 'pull')
      if (hops === maxRedirects)
        throw new UpstreamFailure(
          'garbled',
          `${base.origin} redirected more than ${maxRedirects} times`,
          {},
        )
      url = target
      answer =
        trust === 'own'
          ? await sendAuthorized(request, url)
          : await sendOnce(request, url, trust, undefined)
    }
    return { answer, from: url }
  }

  /** An object store that lost content of the registry is broken: its 404 is not the registry's. */
  const isRegistryUrl = ({ origin, pathname }: URL): boolean =>
    origin === base.origin || pathname.startsWith('/v2/')

  return {
    send: async (request) => {
      const url = request.location ?? urlOf(base, request.path)
      const { answer, from } = await follow(request, url, await sendAuthorized(request, url))
      if (request.isOptional && unsupportedStatuses.has(answer.status)) return answer
      if (request.method === 'HEAD' && answer.status === 501) return answer
      if (denialStatuses.has(answer.status) || answer.status >= 500)
        throw await errorOf(answer, {
          origin: base.origin,
          credentials,
          scrub: authorization.scrub,
          from: from.origin,
          target: targetOf(request),
          request: request.location ? undefined : `${request.method} ${url.pathname}`,
        })
      if (answer.status >= 400 && answer.status !== 416 && !isRegistryUrl(from)) {
        answer.drop()
        throw new UpstreamFailure(
          'redirected',
          `${base.origin} redirects to ${from.origin}, which answered ${answer.status}`,
          {},
        )
      }
      return answer
    },
  }
}

function targetOf({ repository, access = 'pull', mountFrom, isCatalog }: OutgoingRequest): Target {
  return { repository, access, mountFrom, isCatalog }
}

/** A body of unknown size is sent in chunks. */
function lengthOf(body: Buffer | UploadBody | undefined): Record<string, string> {
  const size = Buffer.isBuffer(body) ? body.length : body?.size
  return size === undefined ? {} : { 'content-length': String(size) }
}

/** A body that was read, replayed for a second reader. */
async function* replay(body: Buffer): AsyncGenerator<Chunks, void, undefined> {
  yield [body]
}

/** Built from validated parts, and checked again: no part may have changed the destination. */
function urlOf(base: URL, path: string): URL {
  const full = base.pathname.replace(/\/$/, '') + path
  const url = new URL(full, base.origin)
  if (url.origin !== base.origin || url.pathname + url.search !== full) {
    throw new RegistryError('NAME_INVALID', {
      message: 'the name cannot be part of a URL',
    })
  }
  return url
}

/** Content at a path that ends with a digest can be verified by it; no tag has a colon. */
function kindOf({ path }: OutgoingRequest): 'content' | 'name' {
  return /\/(?:blobs|manifests)\/[^/]+:[^/]+$/.test(path) ? 'content' : 'name'
}

function forbiddenRedirect(origin: string, target: URL | null, isWrite: boolean): RegistryError {
  const where = target === null ? 'an invalid URL' : target.origin
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} redirects ${isWrite ? 'a write ' : ''}to ${where}, which is not allowed`,
    advice: target === null || isWrite ? undefined : adviceToList(target, 'redirects'),
    status: 502,
  })
}
