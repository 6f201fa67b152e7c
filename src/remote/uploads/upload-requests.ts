import { algorithmOf, type Digest } from '../../oci/digest.ts'
import { isRegistryError, type RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { assertSame } from '../answers.ts'
import { UnconfirmedAnswer, UpstreamFailure } from '../faults.ts'
import { rejectionOf } from '../rejection.ts'
import type { RequestContext } from '../request-context.ts'
import { type Answer, lengthIn } from '../transport.ts'
import type { UploadBody } from '../upload-body.ts'
import { completedBy, locationOf } from './session-location.ts'
import { positionIn } from './session-position.ts'

/** An upload ends when its upstream stops reading, or when its caller gives up; in milliseconds. */
const maxUploadWait = 24 * 3_600_000
/** An upload session that is not needed is cancelled, if that is quick; in milliseconds. */
const maxCancelWait = 5000

/** What the upstream says against a request of an upload session. */
type Refused = {
  readonly kind: 'refused'
  /** It is about the session, which it does not know or which has other bytes: another one may succeed. */
  readonly isAboutSession: boolean
  readonly error: RegistryError
}

type Taken = { readonly kind: 'taken'; readonly at: SessionState }

/** `position`: bytes that the session has; undefined if the upstream does not say. */
type SessionState = { readonly location: URL; readonly position: number | undefined }

/** A part of a blob; `of` is undefined if it is the whole blob. */
type Part = { readonly first: number; readonly size: number }

type Opening = { readonly digest: Digest; readonly signal: AbortSignal }

/** `minPart`: smaller parts are refused, except for the last; in bytes. */
type OpenedSession = { readonly location: URL; readonly minPart: number }

type Sent = {
  readonly location: URL
  readonly body: () => Buffer | UploadBody
  readonly signal: AbortSignal
}

/** The requests of which uploads consist; each is sent once. */
export interface UploadRequests {
  /** False also when it is unknown: an upload then shows it. */
  hasBlob(name: RepositoryName, digest: Digest, signal?: AbortSignal): Promise<boolean>
  /** False: the upstream did not mount it. */
  mount(
    name: RepositoryName,
    mount: {
      readonly digest: Digest
      readonly from: RepositoryName
      readonly signal?: AbortSignal | undefined
    },
  ): Promise<boolean>
  open(name: RepositoryName, opening: Opening): Promise<OpenedSession>
  /**
   * Undefined: the upstream mounted the blob. `from`: the repository that has it; undefined: any that the upstream
   * finds.
   */
  openOrMount(
    name: RepositoryName,
    opening: Opening & { readonly from: RepositoryName | undefined },
  ): Promise<OpenedSession | undefined>
  /** Without `part`, the body is the whole blob. */
  append(
    name: RepositoryName,
    sent: Sent & { readonly part: Part | undefined },
  ): Promise<Taken | Refused>
  /** The body is the whole blob, or empty if the session has it. */
  finish(
    name: RepositoryName,
    sent: Sent & { readonly digest: Digest },
  ): Promise<{ readonly kind: 'stored' } | Refused>
  /** Undefined: the session cannot be used any more. */
  status(
    name: RepositoryName,
    location: URL,
    signal: AbortSignal,
  ): Promise<SessionState | undefined>
  /** The session would expire by itself, but may count against a quota until then. Does not reject. */
  cancel(
    name: RepositoryName,
    session: { readonly location: URL; readonly isEmpty?: boolean },
  ): Promise<void>
}

export function createUploadRequests(context: RequestContext): UploadRequests {
  const { exchange, origin, pathOf, repositoryOf } = context
  const uploadsOf = (name: RepositoryName) => `${pathOf(name)}/blobs/uploads/`
  const common = (name: RepositoryName) =>
    ({ path: uploadsOf(name), repository: repositoryOf(name), access: 'push' }) as const

  const refused = async (name: RepositoryName, answer: Answer): Promise<Refused> => {
    const error = await rejectionOf(answer, {
      ...context,
      repository: repositoryOf(name),
      attempt: `push a blob to ${repositoryOf(name)}`,
    })
    const isAboutSession =
      answer.status === 416 || isRegistryError(error, 'BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID')
    return { kind: 'refused', isAboutSession, error }
  }

  const post = (
    name: RepositoryName,
    query: Readonly<Record<string, string>>,
    { mountFrom, signal }: { mountFrom?: string; signal?: AbortSignal | undefined },
  ) => {
    const search = new URLSearchParams(query)
      .toString()
      .replaceAll('%3A', ':')
      .replaceAll('%2F', '/')
    return exchange.request({
      ...common(name),
      method: 'POST',
      kind: 'write',
      path: uploadsOf(name) + (search && `?${search}`),
      body: () => Buffer.alloc(0),
      ...(mountFrom !== undefined && { mountFrom }),
      ...(signal && { signal }),
    })
  }

  const sessionIn = async (name: RepositoryName, answer: Answer): Promise<OpenedSession> => {
    if (answer.status !== 202) throw (await refused(name, answer)).error
    answer.drop()
    return {
      location: locationOf(answer, { origin, path: uploadsOf(name) }),
      minPart: lengthIn(answer.header('oci-chunk-min-length')) ?? 0,
    }
  }

  /** Where the session goes on, according to an answer. */
  const stateIn = (name: RepositoryName, answer: Answer, before: URL): SessionState => ({
    location:
      answer.header('location') === undefined
        ? before
        : locationOf(answer, { origin, path: uploadsOf(name) }),
    position: positionIn(answer.header('range')),
  })

  const askStatus = async (
    name: RepositoryName,
    location: URL,
    how: { readonly signal?: AbortSignal; readonly maxWait?: number },
  ): Promise<SessionState | undefined> => {
    try {
      const answer = await exchange.request({
        ...common(name),
        ...how,
        method: 'GET',
        kind: 'write',
        location,
        isResume: true,
      })
      if (![200, 202, 204].includes(answer.status)) {
        const { error } = await refused(name, answer)
        // A gateway whose registry is starting may answer 404 for it.
        if (isRegistryError(error, 'UNAVAILABLE')) throw error
        return undefined
      }
      answer.drop()
      return stateIn(name, answer, location)
    } catch (error) {
      if (isRegistryError(error, 'DENIED')) return undefined
      throw error
    }
  }

  /** Distribution cancels only at a location that names all that the session has. */
  const cancel: UploadRequests['cancel'] = async (name, { location, isEmpty = false }) => {
    const limit = { maxWait: maxCancelWait }
    try {
      const state = isEmpty ? undefined : await askStatus(name, location, limit)
      const { drop } = await exchange.request({
        ...common(name),
        ...limit,
        method: 'DELETE',
        kind: 'write',
        location: state?.location ?? location,
      })
      drop()
    } catch {
      // It expires.
    }
  }

  return {
    cancel,

    hasBlob: async (name, digest, signal) => {
      const request = {
        ...common(name),
        kind: 'stat',
        path: `${pathOf(name)}/blobs/${digest}`,
        ...(signal && { signal }),
      } as const
      try {
        const answer = await exchange.request({ ...request, method: 'HEAD' })
        answer.drop()
        if (answer.status !== 405 && answer.status !== 501) return answer.status === 200
      } catch (error) {
        // Some registries deny HEAD; the upload shows whether this one denies writes.
        if (isRegistryError(error, 'DENIED') || error instanceof UnconfirmedAnswer) return false
        if (!(error instanceof UpstreamFailure) || error.fault !== 'failing') throw error
      }
      // HEAD is not supported, or failed without a message: the answer to GET has one.
      const headers = { range: 'bytes=0-0' }
      const answer = await exchange.request({ ...request, headers, method: 'GET', isResume: true })
      answer.drop()
      return answer.status === 200 || answer.status === 206
    },

    mount: async (name, { digest, from, signal }) => {
      const mountFrom = repositoryOf(from)
      try {
        const query = { mount: digest, from: mountFrom }
        const answer = await post(name, query, { mountFrom, signal })
        answer.drop()
        if (answer.status === 202)
          await cancel(name, {
            location: locationOf(answer, { origin, path: uploadsOf(name) }),
            isEmpty: true,
          })
        return answer.status === 201
      } catch (error) {
        // Mounting takes more than uploading: the right to read the source.
        if (isRegistryError(error, 'DENIED')) return false
        throw error
      }
    },

    open: async (name, { digest, signal }) =>
      sessionIn(name, await post(name, algorithmFor(digest), { signal })),

    openOrMount: async (name, { digest, from, signal }) => {
      const mountFrom = from && repositoryOf(from)
      const source = mountFrom && { from: mountFrom }
      const query = { mount: digest, ...source, ...algorithmFor(digest) }
      const answer = await post(name, query, { ...(mountFrom && { mountFrom }), signal })
      if (answer.status !== 201) return sessionIn(name, answer)
      answer.drop()
      return undefined
    },

    append: async (name, { location, part, body, signal }) => {
      const answer = await exchange.request({
        ...common(name),
        method: 'PATCH',
        kind: 'upload',
        location,
        headers: {
          'content-type': 'application/octet-stream',
          ...(part && { 'content-range': `${part.first}-${part.first + part.size - 1}` }),
        },
        body,
        maxWait: maxUploadWait,
        signal,
      })
      if (![200, 202, 204].includes(answer.status)) return refused(name, answer)
      answer.drop()
      return { kind: 'taken', at: stateIn(name, answer, location) }
    },

    finish: async (name, { location, digest, body, signal }) => {
      const answer = await exchange.request({
        ...common(name),
        method: 'PUT',
        kind: 'upload',
        location: completedBy(location, digest),
        headers: { 'content-type': 'application/octet-stream' },
        body,
        maxWait: maxUploadWait,
        signal,
      })
      if (![200, 201, 204].includes(answer.status)) return refused(name, answer)
      answer.drop()
      assertSame(origin, answer, digest)
      return { kind: 'stored' }
    },

    status: (name, location, signal) => askStatus(name, location, { signal }),
  }
}

/** Without it, the specification's registries compute a SHA-256. */
function algorithmFor(digest: Digest): Readonly<Record<string, string>> {
  const algorithm = algorithmOf(digest)
  return algorithm === 'sha256' ? {} : { 'digest-algorithm': algorithm }
}
