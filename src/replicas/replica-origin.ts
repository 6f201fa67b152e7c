import type { Chunks } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { joinName } from '../oci/reference.ts'
import { type FindOrigins, replicaOrigin } from '../registry/registry.ts'
import { remoteBlob, type Transport } from '../remote/remote.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import type { Members } from './members.ts'
import type { Signatures } from './signature.ts'

/** Milliseconds without a sign of the owner: while it waits for the upstream, it says so each second. */
const maxSilence = 5000

type OriginOptions = {
  readonly members: Members
  readonly signatures: Signatures
  readonly transport: Transport
  readonly metrics: Metrics
}

/**
 * 1. The owner of the digest is asked for the bytes, if it is another replica.
 * 2. It has them, or gets them from the upstream for all, and sends them while they arrive.
 * 3. A request of a replica is never handed on to a third one: replicas may disagree for a moment about who
 *    the owner is.
 */
export function createFindOrigins(options: OriginOptions): FindOrigins {
  const { members, signatures, transport, metrics } = options
  const counted = (outcome: 'found' | 'absent' | 'failed') =>
    metrics.replicaRequests.inc({ outcome })

  return ({ digest }, { isForwarded = false }) => {
    const owner = isForwarded ? undefined : members.ownerOf(digest)
    if (owner === undefined) return []
    const failed = (): void => {
      members.failed(owner)
      counted('failed')
    }

    async function* watched(body: AsyncIterable<Chunks>, signal: AbortSignal) {
      try {
        yield* body
      } catch (error) {
        // A download that is given up here says nothing about the owner.
        if (!signal.aborted) failed()
        throw error
      }
    }

    return [
      {
        name: replicaOrigin,
        open: async ({ prefix, name }, from, signal) => {
          const target = `/v2/${joinName(prefix, name)}/blobs/${digest}`
          const authorization = signatures.sign({ method: 'GET', target, writer: '' })
          const answer = await transport
            .send({
              method: 'GET',
              url: new URL(`http://${owner}${target}`),
              trust: 'own',
              headers: { authorization, ...(from > 0 && { range: `bytes=${from}-` }) },
              firstByte: maxSilence,
              isPatient: true,
              signal,
            })
            .catch((error: unknown) => {
              if (!signal.aborted) failed()
              throw error
            })
          if (answer.status === 200 || answer.status === 206) {
            counted('found')
            const blob = remoteBlob(answer, from, owner)
            return { ...blob, body: watched(blob.body, signal) }
          }
          answer.drop()
          counted(answer.status === 404 ? 'absent' : 'failed')
          if (answer.status === 404) return undefined
          if (answer.status === 429)
            throw new RegistryError('UNAVAILABLE', {
              message: `the upstream throttles (429) ${owner}, the replica that gets ${digest} for all`,
              retryAfter: Number(answer.header('retry-after') ?? 1),
              cause: new RegistryError('TOOMANYREQUESTS'),
            })
          throw new RegistryError('UNAVAILABLE', {
            message: `the replica ${owner} answered ${answer.status} for ${digest}`,
            status: 502,
          })
        },
      },
    ]
  }
}
