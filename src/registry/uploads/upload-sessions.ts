import { RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import type { UploadRef } from '../repository.ts'
import type { SessionUpload, UploadReservation } from './session-store.ts'

/** One upload under way. */
export type Session = {
  readonly name: RepositoryName
  readonly upload: SessionUpload
  readonly reservation: UploadReservation
  /** A request writes to it. */
  isBusy: boolean
  /** A time of `now()`. */
  usedAt: number
}

/** The sessions that this process knows: a bounded number, each used by one request at a time. */
export interface UploadSessions {
  /** Adds the session that `create` resolves to. @throws RegistryError TOOMANYREQUESTS */
  add(
    writer: string,
    create: () => Promise<Pick<Session, 'name' | 'upload' | 'reservation'>>,
  ): Promise<Session>
  /** Undefined: this process does not know it. @throws RegistryError BLOB_UPLOAD_UNKNOWN: it is another's. */
  find(name: RepositoryName, ref: UploadRef): Session | undefined
  get(id: UploadId): Session | undefined
  /**
   * If there is no room for another session of the writer: the one that was used least recently, before
   * `before`.
   */
  replaceable(writer: string, before: number): Session | undefined
  /** Those without a request since `before`. */
  idleSince(before: number): readonly Session[]
  /** @throws RegistryError BLOB_UPLOAD_INVALID: another request uses the session. */
  use<Result>(session: Session, action: () => Promise<Result>): Promise<Result>
  /** The session has ended, with so many bytes stored. */
  end(session: Session, stored: number): void
}

type SessionsOptions = {
  readonly max: number
  readonly maxPerWriter: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Seconds after which a client that has too many sessions may retry. */
const retryAfter = 30

export function createUploadSessions({ max, maxPerWriter, now }: SessionsOptions): UploadSessions {
  const sessions = new Map<UploadId, Session>()
  /** Sessions by writer, with those that are being created. */
  const counts = new Map<string, number>()
  let total = 0

  const count = (writer: string, change: 1 | -1): void => {
    total += change
    const sum = (counts.get(writer) ?? 0) + change
    if (sum === 0) counts.delete(writer)
    else counts.set(writer, sum)
  }

  const isFull = (): boolean => total >= max
  const hasTooMany = (writer: string): boolean => (counts.get(writer) ?? 0) >= maxPerWriter

  const assertRoom = (writer: string): void => {
    if (isFull()) throw tooMany(`there are ${max} upload sessions`)
    if (hasTooMany(writer)) throw tooMany(`you have ${maxPerWriter} upload sessions`)
  }

  const idleSince = (before: number): readonly Session[] =>
    [...sessions.values()].filter(({ isBusy, usedAt }) => !isBusy && usedAt < before)

  return {
    add: async (writer, create) => {
      assertRoom(writer)
      count(writer, 1)
      try {
        const session = { ...(await create()), isBusy: false, usedAt: now() }
        sessions.set(session.upload.id, session)
        return session
      } catch (error) {
        count(writer, -1)
        throw error
      }
    },
    find: (name, { id, writer }) => {
      const session = sessions.get(id)
      if (session === undefined) return undefined
      if (session.name !== name || session.upload.writer !== writer) throw unknownUpload()
      return session
    },
    get: (id) => sessions.get(id),
    idleSince,
    replaceable: (writer, before) => {
      const isOwn = hasTooMany(writer)
      if (!isOwn && !isFull()) return undefined
      return idleSince(before)
        .filter(({ upload }) => !isOwn || upload.writer === writer)
        .toSorted((a, b) => a.usedAt - b.usedAt)[0]
    },
    use: async (session, action) => {
      if (session.isBusy) throw busy()
      session.isBusy = true
      try {
        return await action()
      } finally {
        session.isBusy = false
        session.usedAt = now()
      }
    },
    end: ({ upload, reservation }, stored) => {
      if (sessions.delete(upload.id)) count(upload.writer, -1)
      reservation.end(stored)
    },
  }
}

export function unknownUpload(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_UNKNOWN', {
    message:
      'no such upload session: it has ended or expired, or belongs to another user or repository',
  })
}

function busy(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', {
    status: 416,
    message: 'another request writes to this upload session',
  })
}

function tooMany(what: string): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', {
    message: `cannot start another upload: ${what} that have neither ended nor expired`,
    advice: 'finish or cancel them',
    retryAfter,
  })
}
