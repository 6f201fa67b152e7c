import { isRegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { isTemporary, UpstreamFailure } from '../faults.ts'
import type { ResumableBlob, ResumableUpload, Uploaded } from '../remote-writer.ts'
import { lostSession } from '../retry-write.ts'
import { createPartReader } from './part-reader.ts'
import type { UploadRequests } from './upload-requests.ts'

/** Smaller blobs are sent by one PUT, and again from their first byte; in bytes. */
const maxAtOnce = 4 * 1024 * 1024
/**
 * Bytes of a PATCH. A gateway that collects the body of a request before the registry gets it loses so
 * much of a broken one.
 */
const partSize = 64 * 1024 * 1024
/**
 * Refusals in a row after which a session is given up: a registry refuses a part as long as it has not
 * noticed that the connection of the one before broke.
 */
const maxRefusals = 5
/** Answers of 5XX to the first part after which the blob is sent by one PUT. */
const maxFailures = 3

/** What is known about one upstream, for its next blobs. */
export type Abilities = {
  takesParts: boolean
  /** It accepts a mount without a source, which some registries refuse. */
  findsBlobs: boolean
}

type UploadOptions = {
  readonly name: RepositoryName
  readonly blob: ResumableBlob
  readonly requests: UploadRequests
  readonly abilities: Abilities
}

type Session = {
  location: URL
  readonly minPart: number
  /** Bytes that the upstream has acknowledged, and bytes that it may have. */
  position: number
  sent: number
  refusals: number
  /** Its position is that of the last answer, because the upstream does not say what it has now. */
  isUnsure: boolean
}

/**
 * An upload that continues at the byte that its upstream has (distribution-spec, "Pushing a blob in
 * chunks"):
 *
 * 1. POST opens a session, or mounts the blob from another repository (distribution-spec, "Mounting a blob from another
 *    repository"): from the one that is known to have it, or from any that the upstream finds and the login may read.
 * 2. PATCH sends a part, with Content-Range if there are several. PUT with the digest ends the session.
 * 3. After a failure, GET says how many bytes the session has, and the upload continues there. A session
 *    that is unknown, or whose answer cannot be true, is replaced by a new one.
 * 4. An upstream that refuses parts, as Artifact Registry does, gets all bytes in the PUT.
 *
 * Distribution 2.8 refuses a session in which a PATCH broke. It continues only where it has read nothing
 * of the broken one, such as behind a gateway that collects bodies.
 */
export function createResumableUpload(options: UploadOptions): ResumableUpload {
  const { name, blob, requests, abilities } = options
  const { digest, size, mountFrom } = blob
  const reader = createPartReader(blob)
  let session: Session | undefined
  let inParts = size > maxAtOnce
  let acknowledged = 0
  let failures = 0
  let mayBeDone = false

  const end = async (): Promise<void> => {
    const ended = session
    session = undefined
    if (ended !== undefined) await requests.cancel(name, ended)
  }

  const openByMount = async (signal: AbortSignal) => {
    try {
      return await requests.openOrMount(name, { digest, from: mountFrom, signal })
    } catch (error) {
      const isRefused = isRegistryError(error) && !isTemporary(error)
      if (mountFrom === undefined && (isRefused || isFailing(error))) abilities.findsBlobs = false
      if (!isRefused) throw error
      // Mounting takes more than uploading: the right to read the source.
      return requests.open(name, { digest, signal })
    }
  }

  /** Undefined: the blob is mounted. */
  const begin = async (signal: AbortSignal): Promise<Session | undefined> => {
    await end()
    const opened =
      mountFrom !== undefined || abilities.findsBlobs
        ? await openByMount(signal)
        : await requests.open(name, { digest, signal })
    session = opened && { ...opened, position: 0, sent: 0, refusals: 0, isUnsure: false }
    return session
  }

  const reach = (current: Session, position: number): void => {
    current.position = position
    acknowledged = Math.max(acknowledged, position)
  }

  /** The session at the byte that the upstream has. Undefined: another one is needed. */
  const resume = async (broken: Session, signal: AbortSignal): Promise<Session | undefined> => {
    if (broken.refusals > (broken.isUnsure ? 0 : maxRefusals)) return undefined
    const found = await requests.status(name, broken.location, signal)
    if (found === undefined) {
      session = undefined
      return undefined
    }
    const { location, position } = found
    broken.isUnsure = position === undefined
    if (position === undefined) return broken.position === 0 ? undefined : broken
    if (position > broken.sent || position < broken.position) return undefined
    broken.location = location
    reach(broken, position)
    return broken
  }

  const sendPart = async (current: Session, signal: AbortSignal) => {
    const { location, position: first, minPart } = current
    const length = Math.min(Math.max(partSize, minPart), size - first)
    const answer = await requests.append(name, {
      location,
      part: length === size ? undefined : { first, size: length },
      body: () => ({ size: length, chunks: reader.read(first, length) }),
      signal,
    })
    if (answer.kind === 'refused') return answer
    const { location: next, position = first + length } = answer.at
    current.location = next
    current.refusals = 0
    current.isUnsure = false
    if (position !== first + length) return { kind: 'misplaced' } as const
    return { kind: 'taken', position } as const
  }

  /** With the bytes from `first` on: with none, or with all. */
  const finish = (location: URL, first: number, signal: AbortSignal) => {
    mayBeDone = true
    return requests.finish(name, {
      location,
      digest,
      body: () => ({
        size: size - first,
        chunks: reader.read(first, size - first),
        verified: size,
      }),
      signal,
    })
  }

  /** Undefined: the upstream does not take the blob in this way. */
  const sendInParts = async (signal: AbortSignal): Promise<Uploaded | undefined> => {
    const broken = session
    const current = (broken && (await resume(broken, signal))) ?? (await begin(signal))
    if (current === undefined) return 'mounted'
    while (current.position < size) {
      const answer = await sendPart(current, signal)
      if (answer.kind === 'taken') {
        reach(current, answer.position)
        continue
      }
      if (answer.kind === 'misplaced') return undefined
      if (!answer.isAboutSession || (acknowledged === 0 && current.refusals > 0)) {
        abilities.takesParts = false
        return undefined
      }
      current.refusals += 1
      throw lostSession(answer.error)
    }
    const answer = await finish(current.location, size, signal)
    if (answer.kind === 'stored') return 'sent'
    if (!answer.isAboutSession) return undefined
    current.refusals += 1
    throw lostSession(answer.error)
  }

  const sendAtOnce = async (signal: AbortSignal): Promise<Uploaded> => {
    inParts = false
    const opened = await begin(signal)
    if (opened === undefined) return 'mounted'
    const answer = await finish(opened.location, 0, signal)
    if (answer.kind === 'stored') return 'sent'
    mayBeDone = false
    throw answer.isAboutSession ? lostSession(answer.error) : answer.error
  }

  const noteFailure = (error: unknown): void => {
    if (session === undefined) return
    session.sent = Math.max(session.sent, session.position, reader.position())
    if (!isFailing(error) || acknowledged > 0) return
    failures += 1
    if (failures === maxFailures) inParts = false
  }

  return {
    acknowledged: () => acknowledged,

    run: async (signal) => {
      if (mayBeDone && (await requests.hasBlob(name, digest, signal))) return 'sent'
      try {
        const done = inParts && abilities.takesParts ? await sendInParts(signal) : undefined
        const uploaded = done ?? (await sendAtOnce(signal))
        session = undefined
        return uploaded
      } catch (error) {
        noteFailure(error)
        throw reader.failure() ?? error
      }
    },

    close: async () => {
      reader.close()
      await end()
    },
  }
}

function isFailing(error: unknown): boolean {
  return error instanceof UpstreamFailure && error.fault === 'failing'
}
