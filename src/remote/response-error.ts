import { z } from 'zod'
import type { Credentials } from '../credentials/credentials.ts'
import { RegistryError } from '../oci/errors.ts'
import { Throttled, UnconfirmedAnswer, UpstreamFailure } from './faults.ts'
import { readBody } from './read-body.ts'
import { isFromRegistry } from './registry-answer.ts'
import { parseRetryAfter } from './throttle.ts'
import type { Target } from './token-scope.ts'
import type { Answer } from './transport.ts'

/** How much of an upstream's message is read, in bytes, and for how long, in milliseconds. */
const maxReasonLength = 16 * 1024
const maxReasonTime = 2000
/** The longest Retry-After, in seconds: an upstream must not block clients for a year. */
const maxRetryAfter = 3600

/** How much of an upstream's message is passed on, in characters. */
const shownReason = 300

const errorSchema = z.looseObject({
  errors: z.array(z.looseObject({ message: z.string().optional() })).default([]),
  /** RFC 9457: of Berth's own API. */
  detail: z.string().optional(),
  /** Of Docker Hub's token service. */
  details: z.string().optional(),
})

type DenialContext = {
  /** The upstream's own origin. */
  readonly origin: string
  /** The origin at the end of the redirects. */
  readonly from: string
  readonly target: Target
  /** Method and path, if the path is ours. */
  readonly request?: string | undefined
  readonly credentials: Pick<Credentials, 'identity' | 'advice'>
  /** Removes our credentials from a text that the upstream wrote. */
  readonly scrub: (text: string) => string
}

/**
 * Translates a 401, 403, 429 or 5XX: DENIED, TOOMANYREQUESTS, or a failure of the upstream. A
 * redirect target does not decide about access. Reads the answer to its end, or drops it.
 */
export async function errorOf(answer: Answer, context: DenialContext): Promise<RegistryError> {
  const { origin, from, target, credentials } = context
  const { repository, access } = target
  const isOwn = from === origin
  const body = isOwn ? await readReason(answer) : undefined
  const description = reasonOf(answer, body, context)
  const requested = parseRetryAfter(answer.header('retry-after'), answer.header('date'))
  const retryAfter = requested && Math.min(requested, maxRetryAfter)
  const wait = retryAfter === undefined ? {} : { retryAfter }
  if (answer.status >= 500 || (answer.status === 429 && !isOwn))
    return new UpstreamFailure('failing', description, wait)
  if (answer.status === 429)
    return new Throttled(description, { retryAfter, reason: body && context.scrub(reasonIn(body)) })
  if (body === undefined) return new UpstreamFailure('redirected', description, {})
  if (!isFromRegistry(answer, body)) return new UnconfirmedAnswer(origin, answer.status)
  return new RegistryError('DENIED', {
    message: `${denialOf(credentials.identity(), target)}: ${description}`,
    advice: credentials.advice(repository, access),
  })
}

function denialOf(identity: string, { repository, access }: Target): string {
  if (access === 'pull') return `${identity} was denied access${repository && ` to ${repository}`}`
  return `cannot ${access === 'push' ? 'push to' : 'delete from'} ${repository} as ${identity}`
}

/**
 * `body` is undefined for an object store's answer: its message is not passed on, because it may
 * repeat the URL, whose query is a key.
 */
function reasonOf(answer: Answer, body: Buffer | undefined, context: DenialContext): string {
  const { origin, from, scrub, request } = context
  if (body === undefined) {
    answer.drop()
    return `${origin} redirects to ${from}, which answered ${answer.status}`
  }
  const reason = scrub(reasonIn(body))
  const to = answer.status >= 500 && request !== undefined ? ` to ${request}` : ''
  return `${origin} answered ${answer.status}${to}${reason && `: ${reason}`}`
}

/** An upstream's message, if it is short. */
export function readReason(answer: Answer): Promise<Buffer> {
  return readBody(answer, maxReasonLength, { maxTime: maxReasonTime }).catch(() => Buffer.alloc(0))
}

/** An OCI error's message, or plain text; never markup. */
export function reasonIn(body: Buffer): string {
  const text = body.toString('utf8')
  const reason = messageIn(text) ?? (/[<{]/.test(text) ? '' : text)
  return reason
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, shownReason)
}

function messageIn(text: string): string | undefined {
  try {
    const { errors, detail, details } = errorSchema.parse(JSON.parse(text))
    return errors[0]?.message ?? detail ?? details
  } catch {
    return undefined
  }
}
