import { setTimeout as sleep } from 'node:timers/promises'
import type { Credentials } from '../credentials/credentials.ts'
import type { Chunks } from '../oci/chunks.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import type { Attempt, Authorization } from './authorization.ts'
import type { Breaker } from './breaker.ts'
import { UpstreamFailure } from './faults.ts'
import type { LastRefusal } from './last-refusal.ts'
import type { Origins, Trust } from './origins.ts'
import { readReason, reasonIn, refusalOf } from './refusal.ts'
import { pauseBeforeRetry, softened } from './retry.ts'
import type { Release, Slots } from './slots.ts'
import type { Answer, Transport } from './transport.ts'

/** One idempotent question to the upstream. */
type Question = {
  readonly method: 'GET' | 'HEAD'
  /** Path and query below the upstream's origin, built from parsed names only. */
  readonly path: string
  /** What is asked about, as the upstream names it; empty: the registry as a whole. */
  readonly repository: string
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
  /**
   * Whether a 429 is waited out, and what is slow waited for to the end and tried again: not where
   * there is a stale answer.
   */
  readonly patient?: boolean
  /**
   * For an API that an upstream may lack: a refusal, 501 and a redirect to elsewhere come back as
   * answers, to be dropped.
   */
  readonly isOptional?: boolean
}

/**
 * Asks the upstream: 200, 206 and 404 come back, as do other 4XX that are no refusal; everything
 * else throws.
 */
export interface Exchange {
  ask(question: Question): Promise<Answer>
}

type ExchangeOptions = {
  readonly base: URL
  /** The upstream's name in metrics. */
  readonly upstream: string
  readonly credentials: Pick<Credentials, 'identity' | 'remedy' | 'trouble'>
  readonly transport: Transport
  readonly authorization: Authorization
  readonly origins: Origins
  readonly breaker: Breaker
  readonly slots: Slots
  readonly lastRefusal: LastRefusal
  readonly metrics: Metrics
}

const mostRedirects = 3
/** For how long in all an upstream's quiet is waited out, in milliseconds: clients wait as well. */
const patience = 30_000
/** To the answer to whoever has a stale one, in milliseconds: a kubelet waits behind it. */
const impatience = 5000
const redirects = new Set([301, 302, 303, 307, 308])
const refusing = new Set([401, 403, 429])
const lacking = new Set([401, 403, 501])

/**
 * 1. Ask the breaker, and take a slot, so that the upstream never sees more than so many requests
 *    of ours at once, nor in a second.
 * 2. Send, with the credential; on 401, and on what ECR says instead, let authorization decide whether
 *    to ask once more.
 * 3. Follow redirects by hand, without the credential once the origin is another.
 * 4. Try again, twice at most, what broke before an answer came, and 5XX; what timed out, once. A
 *    429 is waited out, by all together. Nothing else is tried again, and nobody above tries again.
 * 5. The slot is given back when the body has been read or dropped, and between attempts.
 */
export function createExchange(options: ExchangeOptions): Exchange {
  const {
    base,
    upstream,
    credentials,
    transport,
    authorization,
    origins,
    breaker,
    slots,
    lastRefusal,
    metrics,
  } = options

  const sendOnce = async (
    question: Question,
    url: URL,
    trust: Trust,
    authorize: string | undefined,
  ): Promise<Answer> => {
    const headers = {
      ...question.headers,
      ...(authorize !== undefined && { authorization: authorize }),
    }
    const stop = metrics.upstreamDuration.startTimer({ upstream })
    try {
      const answer = await transport.send({
        method: question.method,
        url,
        trust,
        headers,
        signal: question.signal,
        firstByte: question.patient === false ? impatience : undefined,
      })
      metrics.upstreamRequests.inc({ upstream, status: answer.status })
      return answer
    } catch (error) {
      metrics.upstreamRequests.inc({ upstream, status: 'error' })
      throw error
    } finally {
      stop()
    }
  }

  const sendAuthorized = async (question: Question, url: URL): Promise<Answer> => {
    const attempt: Attempt = {}
    for (;;) {
      const authorize = await authorization.header(attempt, question.repository)
      const answer = await sendOnce(question, url, 'own', authorize)
      if (answer.status === 400 || answer.status === 403) {
        const body = await readReason(answer)
        const reason = reasonIn(body)
        if (await authorization.expired(attempt, question.repository, reason)) continue
        authorization.accepted(attempt)
        return { ...answer, body: again(body) }
      }
      if (answer.status !== 401) {
        authorization.accepted(attempt)
        return answer
      }
      if (!(await isWorthAnother(attempt, question.repository, answer))) return answer
      answer.drop()
    }
  }

  const isWorthAnother = async (
    attempt: Attempt,
    repository: string,
    answer: Answer,
  ): Promise<boolean> => {
    try {
      return await authorization.challenged(attempt, repository, answer.header('www-authenticate'))
    } catch (error) {
      answer.drop()
      throw error
    }
  }

  /** The answer where redirects end, and where that is. */
  const follow = async (question: Question, asked: URL, first: Answer) => {
    let answer = first
    let url = asked
    for (let hops = 0; redirects.has(answer.status); hops += 1) {
      const target = URL.parse(answer.header('location') ?? '', url.href)
      const trust = target === null ? undefined : origins.redirect(target)
      if (question.isOptional && trust !== 'own') break
      answer.drop()
      if (target === null || trust === undefined) throw forbiddenRedirect(base.origin, target)
      if (hops === mostRedirects)
        throw new UpstreamFailure('garbled', `${base.origin} redirects in circles`, {})
      url = target
      answer =
        trust === 'own'
          ? await sendAuthorized(question, url)
          : await sendOnce(question, url, trust, undefined)
    }
    return { answer, from: url }
  }

  /** An object store that has lost what the registry has is broken: its 404 is not the registry's. */
  const speaksForRegistry = ({ origin, pathname }: URL): boolean =>
    origin === base.origin || pathname.startsWith('/v2/')

  const askOnce = async (question: Question): Promise<Answer> => {
    const url = urlOf(base, question.path)
    const { answer, from } = await follow(question, url, await sendAuthorized(question, url))
    if (question.isOptional && lacking.has(answer.status)) return answer
    if (refusing.has(answer.status) || answer.status >= 500)
      throw await refusalOf(answer, {
        origin: base.origin,
        credentials,
        scrub: authorization.scrub,
        from: from.origin,
        repository: question.repository,
      })
    if (answer.status >= 400 && answer.status !== 416 && !speaksForRegistry(from)) {
      answer.drop()
      throw new RegistryError('UNAVAILABLE', {
        message: `${from.origin}, where ${base.origin} leads to, answered ${answer.status}`,
        status: 502,
      })
    }
    return answer
  }

  const record = (error: unknown, { repository }: Question): void => {
    // What our own source of credentials was refused is told by it, for as long as that is so.
    if (isRegistryError(error, 'DENIED') && error.message !== credentials.trouble())
      lastRefusal.refused(repository, error.message)
    if (error instanceof UpstreamFailure) breaker.failed(error.message)
    else if (isRegistryError(error, 'TOOMANYREQUESTS')) breaker.throttled(error.retryAfter)
    else if (isRegistryError(error, 'DENIED')) breaker.succeeded()
    else breaker.abandoned()
  }

  /** Milliseconds that the upstream wants to be left alone for, if that can be waited for. */
  const quietUntil = (giveUp: number): number | undefined => {
    const wait = breaker.quiet()
    return wait !== undefined && performance.now() + wait <= giveUp ? wait : undefined
  }

  const untilReady = async ({ signal }: Question, giveUp: number): Promise<void> => {
    for (let wait = quietUntil(giveUp); wait !== undefined; wait = quietUntil(giveUp)) {
      await sleep(wait, undefined, { ...(signal && { signal }) }).catch(() => {})
      signal?.throwIfAborted()
    }
    if (breaker.quiet() !== undefined) breaker.check()
  }

  /** A place at an upstream that is ready: who waits for that takes nobody's place. */
  const enter = async (question: Question, giveUp: number): Promise<Release> => {
    for (;;) {
      await untilReady(question, giveUp)
      const release = await slots.take()
      try {
        if (quietUntil(giveUp) === undefined) {
          breaker.check()
          return release
        }
      } catch (error) {
        release('unused')
        throw error
      }
      release('unused')
    }
  }

  const askFrom = async (release: Release, question: Question): Promise<Answer> => {
    try {
      const answer = await askOnce(question)
      breaker.succeeded()
      lastRefusal.allowed(question.repository)
      void answer.settled.then(() => release())
      return answer
    } catch (error) {
      release()
      if (question.signal?.aborted) breaker.abandoned()
      else record(error, question)
      throw error
    }
  }

  return {
    ask: async (question) => {
      const giveUp = performance.now() + (question.patient === false ? 0 : patience)
      for (let retries = 0; ; ) {
        const release = await enter(question, giveUp)
        try {
          return await askFrom(release, question)
        } catch (error) {
          if (question.signal?.aborted) throw error
          if (isRegistryError(error, 'TOOMANYREQUESTS') && performance.now() < giveUp) continue
          const pause = pauseBeforeRetry(error, retries, question)
          if (pause === undefined) throw softened(error)
          await sleep(pause)
          retries += 1
        }
      }
    },
  }
}

/** A body that was read, to be read once more. */
async function* again(body: Buffer): AsyncGenerator<Chunks, void, undefined> {
  yield [body]
}

/** Built from validated parts, and looked at once more: nothing may have changed where it goes. */
function urlOf(base: URL, path: string): URL {
  const full = base.pathname.replace(/\/$/, '') + path
  const url = new URL(full, base.origin)
  if (url.origin !== base.origin || url.pathname + url.search !== full) {
    throw new RegistryError('NAME_INVALID', {
      message: 'the name does not survive as part of a URL',
    })
  }
  return url
}

function forbiddenRedirect(origin: string, target: URL | null): RegistryError {
  const where = target === null ? 'nowhere' : target.origin
  const message = `${origin} redirects to ${where}, which is not allowed; list it under the upstream's redirects if that is right`
  return new RegistryError('UNAVAILABLE', { message, status: 502 })
}
