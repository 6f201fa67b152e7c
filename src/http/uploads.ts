import {
  type Algorithm,
  algorithmOf,
  type Digest,
  isAlgorithm,
  parseDigest,
} from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { isRepositoryName, type RepositoryName } from '../oci/reference.ts'
import { parseUploadId } from '../oci/upload-id.ts'
import type { Body, UploadRange, UploadRef, UploadStatus } from '../registry/registry.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import { lengthOf } from './body-length.ts'
import { parseContentRange } from './content-range.ts'
import type { RequestBodies } from './request-bodies.ts'
import { createAtOwner, sessionIn, type UploadOwners } from './upload-owners.ts'
import type { Visibility } from './visibility.ts'
import type { WriteCall } from './writing.ts'

type UploadsOptions = {
  readonly bodies: RequestBodies
  /** Who may pull what, for mounting. */
  readonly isVisible: Visibility
  /** Undefined: there are no other replicas. */
  readonly owners: UploadOwners | undefined
  readonly metrics: Metrics
}

/**
 * distribution-spec, "Pushing blobs":
 *
 * 1. POST starts a session, unless the blob is mounted, or is the body of the POST itself.
 * 2. PATCH appends chunks, or the whole blob as a stream. After an error, GET says how many bytes the
 *    session has.
 * 3. PUT appends the last chunk, if any, and names the digest. 201 means that the blob is durable.
 *
 * Locations are paths: a Host header or a proxy's headers cannot lead clients elsewhere.
 */
export function createUploads({ bodies, isVisible, owners, metrics }: UploadsOptions) {
  const atOwner = createAtOwner(owners, bodies)
  const replySession = createReplySession(owners)

  /** Counts the attempt as `outcome`, or as failed if it rejects. */
  const counted = async <Value>(outcome: string, attempt: () => Promise<Value>): Promise<Value> => {
    let counts = 'failed'
    try {
      const value = await attempt()
      counts = outcome
      return value
    } finally {
      metrics.uploads.inc({ outcome: counts })
    }
  }

  const mount = async (call: WriteCall, digest: Digest): Promise<boolean> => {
    const from = call.query.get('from') ?? undefined
    // The name of another registry's repository, for example: it has to be uploaded.
    if (from !== undefined && !isRepositoryName(from)) return false
    const mayPull = (name: RepositoryName) => isVisible(call.identity, name)
    const isMounted = await call.writable.mount({ digest, from, mayPull })
    if (isMounted) metrics.uploads.inc({ outcome: 'mounted' })
    return isMounted
  }

  /** "Single POST": the body is the blob. */
  const pushAtOnce = async (call: WriteCall, digest: Digest, algorithm: Algorithm) => {
    const { writable, writer, request } = call
    const size = lengthOf(request.raw)
    const body = bodies.stream(call)
    const { id } = await writable.startUpload({ writer, algorithm, size })
    try {
      await counted('stored', () =>
        writable.finishUpload({ id, writer }, digest, body, { first: 0, size }),
      )
    } catch (error) {
      // No client knows this session. If canceling fails, or if it has ended already, it is not what failed.
      await writable.cancelUpload({ id, writer }).catch(() => {})
      throw error
    }
    return replyStored(call, digest)
  }

  return {
    start: async (call: WriteCall) => {
      const { query, writable, writer } = call
      const mounted = query.get('mount')
      if (mounted !== null) {
        const digest = parseDigest(mounted)
        if (await mount(call, digest)) return replyStored(call, digest)
      }
      const digest = query.get('digest')
      if (digest !== null && mounted === null) {
        const parsed = parseDigest(digest)
        return pushAtOnce(call, parsed, algorithmOf(parsed))
      }
      const algorithm = parseAlgorithm(query.get('digest-algorithm'))
      return replySession(call, 202, await writable.startUpload({ writer, algorithm }))
    },

    status: atOwner(async (call) =>
      replySession(call, 204, await call.writable.uploadStatus(uploadOf(call))),
    ),

    append: atOwner(async (call) => {
      const upload = uploadOf(call)
      const range = rangeOf(call)
      const body = bodies.stream(call) ?? none()
      return replySession(call, 202, await call.writable.append(upload, body, range))
    }),

    finish: atOwner(async (call) => {
      const upload = uploadOf(call)
      const digest = parseDigest(call.query.get('digest') ?? '')
      const range = rangeOf(call)
      const body = bodies.stream(call)
      await counted('stored', () => call.writable.finishUpload(upload, digest, body, range))
      return replyStored(call, digest)
    }),

    cancel: atOwner(async (call) => {
      await call.writable.cancelUpload(uploadOf(call))
      metrics.uploads.inc({ outcome: 'canceled' })
      return call.reply.code(204).send()
    }),
  }
}

/** The name of the session, as far as the path has it; whose session it is, the repository decides. */
function uploadOf({ reference, writer }: WriteCall): UploadRef {
  return { id: parseUploadId(sessionIn(reference).id), writer }
}

function rangeOf({ request }: WriteCall): UploadRange | undefined {
  return parseContentRange(request.headers['content-range'], lengthOf(request.raw))
}

async function* none(): Body {}

function parseAlgorithm(text: string | null): Algorithm {
  if (text === null) return 'sha256'
  if (isAlgorithm(text)) return text
  throw new RegistryError('DIGEST_INVALID', {
    message: 'the digest algorithm is not supported: expected sha256 or sha512',
  })
}

function createReplySession(owners: UploadOwners | undefined) {
  const suffix = owners === undefined ? '' : `.${owners.own}`
  return (call: WriteCall, status: 202 | 204, { id, size }: UploadStatus) => {
    const { reply, name, record } = call
    record.reference = id
    const headers = {
      location: `/v2/${name}/blobs/uploads/${id}${suffix}`,
      // Of an empty session too, as Distribution writes it: clients parse two numbers.
      range: `0-${Math.max(0, size - 1)}`,
      'docker-upload-uuid': `${id}${suffix}`,
    }
    return reply.code(status).headers(headers).send()
  }
}

function replyStored({ reply, name, record }: WriteCall, digest: Digest) {
  record.reference = digest
  const headers = { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest }
  return reply.code(201).headers(headers).send()
}
