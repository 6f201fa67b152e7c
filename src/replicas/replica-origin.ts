import { bytesIn } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { joinName } from '../oci/reference.ts'
import { type BlobOrigin, type FindOrigins, replicaOrigin } from '../registry/registry.ts'
import {
  type Answer,
  BelowRate,
  type RemoteBlob,
  remoteBlob,
  remoteRange,
  type Transport,
  UpstreamFailure,
} from '../remote/remote.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import type { Members } from './members.ts'
import { askingHeader, type Signatures } from './signature.ts'

/** Milliseconds without a sign of the owner: until its answer begins, it gives one each second. */
export const maxSilence = 5000
/** Milliseconds without a byte of a body, after which the owner is asked for the rest, and until its sign then. */
const maxPause = 2000
const maxProbe = maxSilence - maxPause
/** Replicas that are asked for one blob: the owner, and those that continue when it has failed. */
export const maxAsked = 3
/** Status of a replica that cannot get a blob for others now. */
export const misdirected = 421

type Blob = Parameters<BlobOrigin['open']>[0]
type Rest = { readonly signal: AbortSignal; readonly mustBeComing: boolean }

type OriginOptions = {
  readonly members: Members
  readonly signatures: Signatures
  readonly transport: Transport
  readonly metrics: Metrics
}

/**
 * 1. The owner of the digest is asked for the bytes, if it is another replica.
 * 2. It has them, or gets them from the upstream for all, and sends them while they arrive.
 * 3. If it fails, the next replica in the order of the digest is asked, until it is the turn of this one. So
 *    one replica continues at the upstream for all: the first that has begun the same download.
 *    An owner that cannot store the blob answers 421, and does not fail.
 * 4. A request of a replica is never handed on to a third one: replicas may disagree for a moment about who
 *    the owner is. But it may join a download that has begun.
 * 5. A replica that cannot store the blob asks all others, in their order: one of them stores it. It asks for the whole
 *    blob, because the others may not have begun it.
 */
export function createFindOrigins(options: OriginOptions): FindOrigins {
  return ({ digest }, { isForwarded, isUnstored }) => {
    const owners = isUnstored ? options.members.others : options.members.before
    const count = isForwarded ? 0 : owners(digest).length
    const origin = createOrigin(digest, { ...options, owners, isUnstored })
    return Array.from({ length: Math.min(count, maxAsked) }, () => origin)
  }
}

/** The error of a client for the 429 of an owner. */
export function throttled(
  { header }: Pick<Answer, 'header'>,
  owner: string,
  digest: Digest,
): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `the upstream throttles (429) ${owner}, the replica that gets ${digest} for all`,
    retryAfter: Number(header('retry-after') ?? 1),
    cause: new RegistryError('TOOMANYREQUESTS'),
  })
}

/** The error for the 401 of a replica. */
export function rejected(owner: string): RegistryError {
  return new RegistryError('UNAUTHORIZED', {
    message: `the replica ${owner} rejected a request of this one (401)`,
    advice: 'both need the same secret, and clocks that differ by less than 5 minutes',
    status: 502,
  })
}

type AskOptions = OriginOptions & {
  readonly owners: Members['before']
  readonly isUnstored: boolean
}

/** Asks another replica each time that it is opened. */
function createOrigin(digest: Digest, options: AskOptions): BlobOrigin {
  const { members, owners, isUnstored, signatures, transport, metrics } = options
  const asked: string[] = []
  let isAnswered = false

  const counted = (outcome: 'found' | 'absent' | 'failed') =>
    metrics.replicaRequests.inc({ outcome })
  const failed = (owner: string): void => {
    members.failed(owner)
    counted('failed')
  }

  type Range = {
    readonly headers: { readonly range?: string }
    readonly isPatient: boolean
    readonly firstByte: number
    readonly idle: number
  }
  const send = (
    owner: string,
    { prefix, name }: Blob,
    { headers, ...limits }: Range,
    signal: AbortSignal,
  ) => {
    const target = `/v2/${joinName(prefix, name)}/blobs/${digest}`
    const authorization = signatures.sign({ method: 'GET', target, writer: '' })
    return transport.send({
      method: 'GET',
      url: new URL(`http://${owner}${target}`),
      trust: 'own',
      headers: { ...headers, authorization, [askingHeader]: members.own },
      ...limits,
      signal,
    })
  }

  const sendFrom = (
    owner: string,
    blob: Blob,
    from: number,
    { signal, firstByte }: { readonly signal: AbortSignal; readonly firstByte: number },
  ) => {
    const headers = from > 0 ? { range: `bytes=${from}-` } : {}
    return send(owner, blob, { headers, isPatient: true, firstByte, idle: maxPause }, signal)
  }

  /** The rest of a blob; undefined if the owner does not answer, or has all of it and `mustBeComing`. */
  const rest = async (owner: string, blob: Blob, from: number, how: Rest) => {
    const { signal, mustBeComing } = how
    const sent = sendFrom(owner, blob, from, { signal, firstByte: maxProbe })
    const answer = await sent.catch(() => undefined)
    const isComing = answer?.header('x-cache') === 'coalesced'
    if (answer?.status === (from > 0 ? 206 : 200) && (isComing || !mustBeComing))
      return remoteBlob(answer, from, owner).body
    answer?.drop()
    return undefined
  }

  /**
   * An owner is not slow if its upstream is: it is asked for the rest again. One that is silent may have been
   * busy, unless it is so twice at one position.
   */
  async function* watched(owner: string, blob: Blob, found: RemoteBlob, signal: AbortSignal) {
    let position = found.from
    let askedFrom = -1
    for (let body: RemoteBlob['body'] | undefined = found.body; body !== undefined; ) {
      try {
        for await (const chunks of body) {
          position += bytesIn(chunks)
          yield chunks
        }
        return
      } catch (error) {
        const isSlow = error instanceof UpstreamFailure && error.fault === 'slow'
        const mustBeComing = position === askedFrom || (isSlow && error.cause instanceof BelowRate)
        askedFrom = position
        body = isSlow ? await rest(owner, blob, position, { signal, mustBeComing }) : undefined
        if (body !== undefined) continue
        // A download that is given up here says nothing about the owner.
        if (!signal.aborted) failed(owner)
        throw error
      }
    }
  }

  return {
    name: replicaOrigin,
    open: async (blob, position, signal) => {
      const from = isUnstored ? 0 : position
      const owner = owners(digest).find((member) => !asked.includes(member))
      if (owner === undefined || isAnswered) return undefined
      asked.push(owner)
      const how = { signal, firstByte: maxSilence }
      const answer = await sendFrom(owner, blob, from, how).catch((error: unknown) => {
        if (!signal.aborted) failed(owner)
        throw error
      })
      if (answer.status === 200 || answer.status === 206) {
        counted('found')
        const found = remoteBlob(answer, from, owner)
        return { ...found, body: watched(owner, blob, found, signal) }
      }
      answer.drop()
      if (answer.status === 401) {
        failed(owner)
        throw rejected(owner)
      }
      const { status } = answer
      const isAbsent = status === 404 || status === misdirected
      counted(isAbsent ? 'absent' : 'failed')
      isAnswered = status < 500 && status !== misdirected && !(status === 404 && from > 0)
      if (isAbsent) return undefined
      if (status === 429) throw throttled(answer, owner, digest)
      throw new RegistryError('UNAVAILABLE', {
        message: `the replica ${owner} answered ${status} for ${digest}`,
        status: 502,
      })
    },
    openRange: async (blob, range, signal) => {
      const owner = asked.at(-1)
      if (owner === undefined) return undefined
      const headers = { range: `bytes=${range.first}-${range.last}` }
      const limits = { isPatient: false, firstByte: maxSilence, idle: maxSilence }
      return remoteRange(await send(owner, blob, { headers, ...limits }, signal), range)
    },
    sentWrong: () => {
      for (const owner of asked) members.failed(owner)
    },
  }
}
