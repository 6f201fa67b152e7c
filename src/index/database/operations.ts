import { randomUUID } from 'node:crypto'
import type { Change } from '../change.ts'
import { applyChanges } from './changes.ts'
import { leaveCleanMark, takeCleanMark } from './clean-mark.ts'
import { deleteDatabaseFile } from './database-file.ts'
import { DatabaseFailure } from './failure.ts'
import { type OpenDatabase, openDatabase, type Places } from './opening.ts'

/** What the other thread can ask for, by name. All throw {@link DatabaseFailure}. */
export type Operations = ReturnType<typeof createOperations>

/** Milliseconds between two signs of life. */
const aliveInterval = 600_000

export type OpenRequest = {
  /** What is there is deleted first. */
  readonly discard: boolean
  /** Pulls are unknown that have happened until now. */
  readonly pullsLost: boolean
}

export type Opened = {
  /** It was compared with the whole volume at some time. */
  readonly isComplete: boolean
  /** Stored blobs that it knows. */
  readonly blobs: number
  /** Of the volume when it was closed in agreement with it; undefined: it was not. */
  readonly fingerprint: string | undefined
}

export function createOperations(places: Places) {
  let current: OpenDatabase | undefined
  /** Something may be missing in the database. */
  let hasFailed = false

  const close = (): void => {
    current?.journal?.close()
    current?.database.close()
    current = undefined
  }

  const opened = (): OpenDatabase => {
    if (current === undefined) throw new DatabaseFailure('unavailable', 'the database is not open')
    current.database.assertNotDeleted()
    return current
  }

  /** An operation of the open database. */
  const on =
    <Args extends readonly unknown[], Result>(
      select: (database: OpenDatabase) => (...args: Args) => Result,
    ) =>
    (...args: Args): Result => {
      try {
        return select(opened())(...args)
      } catch (error) {
        hasFailed = true
        throw error
      }
    }

  return {
    open: ({ discard, pullsLost }: OpenRequest): Opened => {
      close()
      if (discard) deleteDatabaseFile(places.database)
      current = openDatabase(places, pullsLost)
      const mark = places.cleanMark === undefined ? undefined : takeCleanMark(places.cleanMark)
      const isSame = mark !== undefined && mark.generation === current.generation
      const { blobs } = current.lookups.totals()
      const isComplete = current.database.fact('complete') === 1
      return { isComplete, blobs, fingerprint: isSame ? mark.fingerprint : undefined }
    },

    apply: on((database) => (changes: readonly Change[]): void => {
      const events = database.database.transaction(() => applyChanges(database, changes))
      if (events.length > 0) database.journal?.append(events)
    }),

    /** Notices a deleted file, and leaves a sign of life. */
    keepAlive: on(({ database }) => (): void => {
      const now = Date.now()
      if (Math.abs(now - Number(database.fact('alive') ?? 0)) > aliveInterval)
        database.transaction(() => database.setFact('alive', now))
    }),

    /** `fingerprint`: of the volume, if the database agrees with it. */
    close: (fingerprint: string | undefined): void => {
      const generation = randomUUID()
      const { cleanMark } = places
      const isClean = current !== undefined && fingerprint !== undefined && !hasFailed
      if (isClean) opened().database.setFact('generation', generation)
      close()
      if (isClean && cleanMark !== undefined) leaveCleanMark(cleanMark, { generation, fingerprint })
    },

    fileSize: on(({ database }) => database.size),

    beginVerification: on(({ verification }) => verification.begin),
    tables: on(({ verification }) => verification.tables),
    checkTable: on(({ verification }) => verification.checkTable),
    foundBlobs: on(({ verification }) => verification.foundBlobs),
    foundLinks: on(({ verification }) => verification.foundLinks),
    foundManifests: on(({ verification }) => verification.foundManifests),
    addManifests: on(({ verification }) => verification.addManifests),
    foundTags: on(({ verification }) => verification.foundTags),
    subjects: on(({ verification }) => verification.subjects),
    finishVerification: on(({ verification }) => verification.finish),
    missingConfigs: on(({ configs }) => configs.missingConfigs),
    addConfigs: on(({ configs }) => configs.addConfigs),

    repositories: on(({ lookups }) => lookups.repositories),
    tags: on(({ lookups }) => lookups.tags),
    tagsOf: on(({ lookups }) => lookups.tagsOf),
    referencedBy: on(({ lookups }) => lookups.referencedBy),
    referrers: on(({ lookups }) => lookups.referrers),
    linkedIn: on(({ lookups }) => lookups.linkedIn),
    unreferenced: on(({ lookups }) => lookups.unreferenced),
    unreferencedLinks: on(({ lookups }) => lookups.unreferencedLinks),
    bytes: on(({ lookups }) => lookups.bytes),
    totals: on(({ lookups }) => lookups.totals),
    search: on(({ lookups }) => lookups.search),
    repositoryRecords: on(({ lookups }) => lookups.repositoryRecords),
    repositorySizes: on(({ inventory }) => inventory.repositorySizes),
    usage: on(({ usage }) => usage.usage),
    taggedUsage: on(({ usage }) => usage.taggedUsage),
    sharing: on(({ inventory }) => inventory.sharing),
    freed: on(({ inventory }) => inventory.freed),
    storedOf: on(({ inventory }) => inventory.storedOf),
    image: on(({ images }) => images.image),
    images: on(({ images }) => images.images),
    tagRecords: on(({ images }) => images.tagRecords),
  }
}
