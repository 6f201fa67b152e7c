import { bytesIn } from '../../memory/memory.ts'
import type { Digest } from '../../oci/digest.ts'
import { type ErrorCode, isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import { isDiskError } from '../disk-errors.ts'
import { createLocks } from '../locks.ts'
import type {
  Body,
  UploadRange,
  UploadRef,
  UploadStatus,
  WritableRepository,
} from '../repository.ts'
import type { SessionStore, UploadQuotas } from './session-store.ts'
import { createUploadSessions, type Session, unknownUpload } from './upload-sessions.ts'

const maxSessions = 4000
/** When there is no room, an upload without a request for so many milliseconds makes room. */
const abandonedAfter = 15 * 60_000
const maxSessionsPerWriter = 1000

/** An upstream may say against a blob what it says against its repository. */
const hopeless = [
  'DENIED',
  'DIGEST_INVALID',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'UNSUPPORTED',
] as const satisfies readonly ErrorCode[]

type UploadsOptions = {
  readonly store: SessionStore
  readonly quotas: UploadQuotas
  readonly now: () => number
  readonly maxSessions?: number
  readonly maxSessionsPerWriter?: number
}

type StartRequest = Parameters<WritableRepository['startUpload']>[0]

/**
 * Upload sessions. They outlive the process: what is not in memory is looked for on the disk.
 *
 * 1. `start` creates a session, which belongs to a repository and a writer.
 * 2. `append` adds the bytes of one request after another. If one breaks off, what arrived stays.
 * 3. `finish` adds the rest of the bytes, and verifies the digest. With a wrong one the session is gone, and
 *    its bytes.
 */
export interface Uploads {
  start(name: RepositoryName, request: StartRequest): Promise<UploadStatus>
  status(name: RepositoryName, ref: UploadRef): Promise<UploadStatus>
  append(
    name: RepositoryName,
    ref: UploadRef,
    body: Body,
    range: UploadRange | undefined,
  ): Promise<UploadStatus>
  /** `onStored` is awaited before the session ends. */
  finish(
    name: RepositoryName,
    ref: UploadRef,
    how: {
      readonly digest: Digest
      readonly body: Body | undefined
      readonly range: UploadRange | undefined
      readonly onStored: (size: number) => Promise<void>
    },
  ): Promise<void>
  cancel(name: RepositoryName, ref: UploadRef): Promise<void>
  /**
   * Cancels sessions without a write since `before`, in milliseconds since the epoch, and returns how
   * many. Sessions of Distribution stay until something is pushed here.
   */
  purge(before: number): Promise<number>
}

export function createUploads({ store, quotas, now, ...limits }: UploadsOptions): Uploads {
  const sessions = createUploadSessions({
    max: limits.maxSessions ?? maxSessions,
    maxPerWriter: limits.maxSessionsPerWriter ?? maxSessionsPerWriter,
    now,
  })
  const opening = createLocks()
  let isInUse = false

  const openFromDisk = async (name: RepositoryName, { id, writer }: UploadRef) => {
    const upload = await store.open(name, id)
    if (upload === undefined || upload.writer !== writer) throw unknownUpload()
    return sessions.add(writer, async () => ({
      name,
      upload,
      reservation: await quotas.reserve(name, upload.size),
    }))
  }

  const find = async (name: RepositoryName, ref: UploadRef): Promise<Session> =>
    sessions.find(name, ref) ??
    opening.exclusive(
      ref.id,
      async () => sessions.find(name, ref) ?? (await openFromDisk(name, ref)),
    )

  /** For one request that writes. */
  const use = async <Result>(
    name: RepositoryName,
    ref: UploadRef,
    action: (session: Session) => Promise<Result>,
  ): Promise<Result> => {
    const session = await find(name, ref)
    return sessions.use(session, () => action(session))
  }

  const drop = async (session: Session): Promise<void> => {
    try {
      await session.upload.cancel()
    } finally {
      sessions.end(session, 0)
    }
  }

  /** What lacks space must not keep any, and wrong bytes never become right. */
  const dropIfHopeless = async (session: Session, error: unknown): Promise<void> => {
    const isFull = isRegistryError(error) && error.status === 507
    if (!isFull && !isDiskError(error) && !isRegistryError(error, ...hopeless)) return
    await drop(session).catch(() => {})
  }

  const write = async (
    { upload, reservation }: Session,
    body: Body,
    range: UploadRange | undefined,
  ): Promise<void> => {
    const first = upload.size
    assertContinues(first, range)
    const size = range?.size ?? body.size
    try {
      // Before it asks for the body: one that does not fit need not be sent.
      if (size !== undefined) await reservation.growTo(first + size)
      for await (const chunks of body) {
        const end = upload.size + bytesIn(chunks)
        if (range?.size !== undefined && end > first + range.size) {
          await upload.truncate(first)
          throw wrongSize(range.size, 'more')
        }
        await reservation.growTo(end)
        await upload.append(chunks)
      }
    } finally {
      // What was announced and did not arrive.
      reservation.shrinkTo(upload.size)
    }
    if (range?.size !== undefined && upload.size < first + range.size)
      throw wrongSize(range.size, `only ${upload.size - first}`)
  }

  /** The last bytes of a blob whose digest is known. */
  const writeLast = async (
    session: Session,
    body: Body,
    { digest, range }: { digest: Digest; range: UploadRange | undefined },
  ): Promise<void> => {
    const { upload } = session
    const first = upload.size
    const size = range?.size ?? body.size
    const expected =
      size === undefined ? undefined : upload.expect?.({ digest, size: first + size })
    try {
      await write(session, body, range)
    } catch (error) {
      await expected?.stop()
      if (range === undefined) await takeBack(session, first)
      throw error
    }
  }

  /**
   * The danger: a client that repeats its last request, as regclient does after a broken connection, would
   * append its bytes twice. With a range, it gets an error.
   */
  const takeBack = async ({ upload, reservation }: Session, first: number): Promise<void> => {
    // What failed counts. If this fails too, the digest will not match.
    await upload.truncate(first).catch(() => {})
    reservation.shrinkTo(upload.size)
  }

  /** Bytes of a blob that cannot be stored now are dropped, for the same reason. */
  const commit = async (session: Session, digest: Digest, first: number) => {
    try {
      return await session.upload.commit(digest)
    } catch (error) {
      if (isRegistryError(error, 'UNAVAILABLE')) await takeBack(session, first)
      throw error
    }
  }

  /** A client that went away for good does not know its sessions any more. */
  const makeRoom = async (writer: string): Promise<void> => {
    const abandoned = sessions.replaceable(writer, now() - abandonedAfter)
    if (abandoned !== undefined) await sessions.use(abandoned, () => drop(abandoned))
  }

  const dropped = async <Result>(session: Session, action: () => Promise<Result>) => {
    try {
      return await action()
    } catch (error) {
      await dropIfHopeless(session, error)
      throw error
    }
  }

  const purgeOne = (name: RepositoryName, id: UploadId): Promise<boolean> =>
    opening.exclusive(id, async () => {
      const upload = sessions.get(id) === undefined ? await store.open(name, id) : undefined
      if (upload === undefined || (upload.writer === '' && !isInUse)) return false
      await upload.cancel()
      return true
    })

  return {
    start: async (name, { writer, algorithm, size = 0 }) => {
      isInUse = true
      await makeRoom(writer)
      const session = await sessions.add(writer, async () => {
        const reservation = await quotas.reserve(name, size)
        try {
          return { name, reservation, upload: await store.create(name, { writer, algorithm }) }
        } catch (error) {
          reservation.end(0)
          throw error
        }
      })
      return statusOf(session)
    },
    status: async (name, ref) => statusOf(await find(name, ref)),
    append: (name, ref, body, range) =>
      use(name, ref, async (session) => {
        await dropped(session, () => write(session, body, range))
        return statusOf(session)
      }),
    finish: (name, ref, { digest, body, range, onStored }) =>
      use(name, ref, async (session) => {
        const { size } = await dropped(session, async () => {
          const first = session.upload.size
          if (body === undefined) assertContinues(first, range)
          else await writeLast(session, body, { digest, range })
          return commit(session, digest, first)
        })
        try {
          await onStored(size)
        } finally {
          sessions.end(session, size)
        }
      }),
    cancel: (name, ref) => use(name, ref, drop),
    purge: async (before) => {
      let purged = 0
      for await (const { name, id, lastWriteAt } of store.list()) {
        if (lastWriteAt < before && (await purgeOne(name, id))) purged += 1
      }
      for (const session of sessions.idleSince(before)) {
        if (session.isBusy) continue
        await sessions.use(session, () => drop(session))
        purged += 1
      }
      return purged + ((await store.purge?.(before)) ?? 0)
    },
  }
}

function statusOf({ upload: { id, size } }: Session): UploadStatus {
  return { id, size }
}

function assertContinues(size: number, range: UploadRange | undefined): void {
  if (range === undefined || range.first === size) return
  throw new RegistryError('BLOB_UPLOAD_INVALID', {
    status: 416,
    message: `the range begins at byte ${range.first}, and the upload session has ${size} bytes`,
  })
}

function wrongSize(announced: number, sent: string): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    message: `the request announced ${announced} bytes, and sent ${sent}`,
  })
}
