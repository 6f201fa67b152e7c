import type { Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { joinName, type RepositoryName } from '../oci/reference.ts'
import { replicaOrigin, type SharedManifests } from '../registry/registry.ts'
import {
  type Answer,
  readBody,
  type Transport,
  UpstreamFailure,
  verifiedManifest,
} from '../remote/remote.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import { listTarget, parseList } from './list-answers.ts'
import type { Members } from './members.ts'
import { maxAsked, maxSilence, misdirected, rejected, throttled } from './replica-origin.ts'
import { askingHeader, type Signatures } from './signature.ts'
import { parseTag, signatureHeader, tagTarget } from './tag-answers.ts'

type Options = {
  readonly members: Members
  readonly signatures: Signatures
  readonly transport: Transport
  readonly memory: Reservations
  readonly metrics: Metrics
}

/** Bytes of an answer for a tag. */
const maxTagAnswer = 64 * 1024
/** Of a list: descriptors take a quarter of their memory, and tags less than it. */
const maxListAnswer = 512 * 1024

type Read<Found> = (
  answer: Answer,
  asked: { readonly owner: string; readonly authorization: string },
) => Promise<Found | undefined>

/**
 * A tag has an owner, as a digest has: it asks the upstream for all, and says how old its answer is, which thus gets
 * no older than without replicas. Nothing else proves what a tag means, so the answer is signed.
 */
export function createSharedManifests(options: Options): Omit<SharedManifests, 'changed'> {
  const { members, signatures, transport, memory, metrics } = options

  /** Asks one after another, until one answers. An owner that cannot is not left out. */
  const ask = async <Found>(
    owners: readonly string[],
    target: string,
    read: Read<Found>,
  ): Promise<Found | undefined> => {
    for (const owner of owners.slice(0, maxAsked)) {
      const authorization = signatures.sign({ method: 'GET', target, writer: '' })
      try {
        const answer = await transport.send({
          method: 'GET',
          url: new URL(`http://${owner}${target}`),
          trust: 'own',
          headers: { authorization, [askingHeader]: members.own },
          firstByte: maxSilence,
          isPatient: true,
        })
        if (answer.status === 401) {
          answer.drop()
          throw rejected(owner)
        }
        if (answer.status === misdirected || answer.status >= 500) {
          answer.drop()
          metrics.replicaRequests.inc({ outcome: 'absent' })
          continue
        }
        const found = await read(answer, { owner, authorization })
        metrics.replicaRequests.inc({ outcome: found === undefined ? 'absent' : 'found' })
        return found
      } catch (error) {
        // The upstream throttles, or there is no memory here.
        const isOwners = error instanceof UpstreamFailure || !isRegistryError(error, 'UNAVAILABLE')
        if (!isOwners) throw error
        members.failed(owner)
        metrics.replicaRequests.inc({ outcome: 'failed' })
      }
    }
    return undefined
  }

  const manifestAt = (owners: readonly string[], name: RepositoryName, digest: Digest) =>
    ask(owners, `/v2/${name}/manifests/${digest}`, async (answer, { owner }) => {
      if (answer.status === 200) {
        const found = await verifiedManifest(answer, { digest }, { origin: owner, memory })
        return { ...found, source: replicaOrigin }
      }
      answer.drop()
      if (answer.status === 429) throw throttled(answer, owner, digest)
      return undefined
    })

  /** What a signed answer says; undefined for others. */
  const signed = async (
    answer: Answer,
    authorization: string,
    read: Promise<Buffer>,
  ): Promise<string | undefined> => {
    const body = (await read).toString()
    const isSigned = signatures.isAnswer(authorization, body, answer.header(signatureHeader))
    return answer.status === 200 && isSigned ? body : undefined
  }

  return {
    tag: ({ prefix, name, tag, origin }) => {
      const full = joinName(prefix, name)
      const target = tagTarget(full, tag, origin)
      return ask(members.before(`${full}:${tag}`), target, async (answer, asked) => {
        const { owner, authorization } = asked
        const body = await signed(answer, authorization, readBody(answer, maxTagAnswer))
        const found = body === undefined ? undefined : parseTag(body)
        return found && { ...found, manifest: (digest) => manifestAt([owner], full, digest) }
      })
    },
    list: ({ prefix, name, origin, asked: list }) => {
      const full = joinName(prefix, name)
      const target = listTarget(full, list, origin)
      return ask(members.before(`${full} lists`), target, async (answer, { authorization }) => {
        const reading = readBody(answer, maxListAnswer, { memory })
        const body = await signed(answer, authorization, reading)
        return body === undefined ? undefined : parseList(body)
      })
    },
    manifest: ({ prefix, name, digest }) =>
      manifestAt(members.before(digest), joinName(prefix, name), digest),
  }
}
