import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { isFound, lengthOf, remoteBlob, remoteRange } from './answers.ts'
import { UnconfirmedAnswer, UpstreamFailure } from './faults.ts'
import { createHeadSupport } from './head-support.ts'
import type { BlobOptions, Remote } from './remote-registry.ts'
import type { RequestContext } from './request-context.ts'

/** A fill has its own deadline, which its signal enforces. In milliseconds. */
const maxFillWait = 24 * 3_600_000

type Get = BlobOptions & {
  readonly kind: 'blob' | 'stat'
  readonly range?: string | undefined
  readonly maxWait?: number
}

/**
 * HEAD checks whether a blob exists; GET decides when HEAD does not find it: public.ecr.aws answers
 * HEAD with 401, or closes the connection, and Harbor's proxy projects answer 404 until a GET has
 * fetched the blob once.
 */
export function createBlobRequests(
  context: RequestContext,
): Pick<Remote, 'blob' | 'blobRange' | 'statBlob'> {
  const { exchange, origin, pathOf, repositoryOf } = context
  const headSupport = createHeadSupport()

  /** Undefined when the blob does not exist. */
  const get = async (name: RepositoryName, digest: Digest, { range, ...options }: Get) => {
    const answer = await exchange.request({
      ...options,
      method: 'GET',
      path: `${pathOf(name)}/blobs/${digest}`,
      repository: repositoryOf(name),
      headers: { accept: '*/*', ...(range !== undefined && { range }) },
    })
    const isThere = await isFound(answer, { ...context, repository: repositoryOf(name) })
    return isThere ? answer : undefined
  }

  /** Undefined when the HEAD answer does not say. */
  const headBlob = async (
    name: RepositoryName,
    digest: Digest,
  ): Promise<{ readonly size: number | undefined } | undefined> => {
    try {
      const answer = await exchange.request({
        method: 'HEAD',
        kind: 'stat',
        path: `${pathOf(name)}/blobs/${digest}`,
        repository: repositoryOf(name),
      })
      answer.drop()
      return answer.status === 200 ? { size: lengthOf(answer) } : undefined
    } catch (error) {
      const isRefused = isRegistryError(error, 'DENIED') || error instanceof UnconfirmedAnswer
      const isBroken =
        error instanceof UpstreamFailure && ['broken', 'redirected'].includes(error.fault)
      if (isRefused || isBroken) return undefined
      throw error
    }
  }

  return {
    blob: async (name, digest, from, options = {}) => {
      const range = from > 0 ? `bytes=${from}-` : undefined
      const answer = await get(name, digest, {
        ...options,
        kind: 'blob',
        range,
        maxWait: maxFillWait,
      })
      return answer && remoteBlob(answer, from, origin)
    },

    blobRange: async (name, digest, { first, last }, signal) => {
      const range = `bytes=${first}-${last}`
      const answer = await get(name, digest, { kind: 'blob', range, isResume: true, signal })
      return answer && remoteRange(answer, { first, last })
    },

    statBlob: async (name, digest) => {
      const triesHead = headSupport.shouldTry()
      const stat = triesHead ? await headBlob(name, digest) : undefined
      if (stat !== undefined) {
        headSupport.answered()
        return stat
      }
      const answer = await get(name, digest, { kind: 'stat' })
      if (triesHead && answer !== undefined) headSupport.unsupported()
      answer?.drop()
      return answer && { size: lengthOf(answer) }
    },
  }
}
