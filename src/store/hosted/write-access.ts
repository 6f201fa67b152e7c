import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { RegistryError } from '../../oci/errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { errnoOf, isMissing } from '../files.ts'
import { acquireLock, type Lock, lockHolder } from '../lock.ts'
import type { Temporary } from '../temporary.ts'
import { isBerths } from './volume-owner.ts'

/** Between attempts to obtain the lock, or to write again, in milliseconds. */
const retryInterval = 1000
/** Between attempts to lock a full disk, or one without sockets, in milliseconds. */
const relockInterval = 60_000

/** Whether this process may write to a volume. Only one process does at a time. */
export interface WriteAccess {
  /** Why nothing can be written now. */
  problem(): string | undefined
  /** This process is the one that may write. */
  isHeld(): boolean
  /** Runs a change, once the volume is locked. @throws RegistryError UNAVAILABLE */
  change<Result>(work: () => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

type WriteAccessOptions = {
  readonly root: string
  readonly temporary: Temporary
  /** Creates the root. */
  readonly createRoot: () => Promise<void>
  readonly telemetry: Telemetry
}

/**
 * The lock is acquired by the first change, so that a process that only reads an adopted volume
 * writes nothing to it; at once if Berth has written to the volume before. While another process
 * has the lock, or the volume cannot be written, each second is another attempt.
 */
export async function createWriteAccess(options: WriteAccessOptions): Promise<WriteAccess> {
  const { root, temporary, createRoot, telemetry } = options
  const closing = new AbortController()
  let lock: Lock | 'none' | undefined
  let problem: string | undefined
  let relockAt = 0
  let acquiring: Promise<void> | undefined
  let retrying: Promise<void> | undefined

  /** A full disk cannot be locked, but must be written to be emptied: it is locked later. */
  const needsLock = (): boolean =>
    lock === undefined || (lock === 'none' && performance.now() >= relockAt)

  const acquire = async (): Promise<void> => {
    if (!needsLock()) return
    await createRoot()
    const isFirst = lock === undefined
    lock = (await acquireLock(root)) ?? 'none'
    relockAt = performance.now() + relockInterval
    if (lock === 'none' && isFirst)
      telemetry.log.warn(
        { directory: root },
        'cannot lock the directory of hosted repositories: its file system supports no Unix sockets, or is full; make sure that no other process writes to it',
      )
    if (isFirst) await temporary.clean(lock !== 'none')
  }

  /** `lockNow`: also if nothing has to be written yet. */
  const attempt = async (lockNow: boolean): Promise<void> => {
    try {
      await assertWritable(root)
      const holder = needsLock() ? await lockHolder(root) : undefined
      if (holder !== undefined) {
        lock = undefined
        throw new Error(`another Berth, ${holder}, writes to ${root}; it can be read meanwhile`)
      }
      if (lockNow) await acquire()
      setProblem(undefined)
    } catch (error) {
      setProblem(describe(error, root))
    }
  }

  const setProblem = (next: string | undefined): void => {
    if (next === problem) return
    problem = next
    if (next === undefined)
      telemetry.log.info({ directory: root }, 'hosted repositories can be written')
    else {
      telemetry.log.warn({ directory: root, reason: next }, 'hosted repositories are read-only')
      retrying ??= retry().finally(() => {
        retrying = undefined
      })
    }
  }

  const retry = async (): Promise<void> => {
    while (problem !== undefined && !closing.signal.aborted) {
      await wait(retryInterval, undefined, { ref: false, signal: closing.signal }).catch(() => {})
      if (!closing.signal.aborted) await attempt(await isBerths(root))
    }
  }

  const require = async (): Promise<void> => {
    if (problem === undefined && needsLock()) {
      acquiring ??= attempt(true).finally(() => {
        acquiring = undefined
      })
      await acquiring
    }
    if (problem !== undefined)
      throw new RegistryError('UNAVAILABLE', { message: `cannot write: ${problem}`, retryAfter: 1 })
  }

  await attempt(await isBerths(root))

  return {
    problem: () => problem,
    isHeld: () => lock !== undefined,

    change: async (work) => {
      await require()
      try {
        return await work()
      } catch (error) {
        if (errnoOf(error) === 'EROFS') setProblem(describe(error, root))
        throw error
      }
    },

    close: async () => {
      closing.abort()
      await Promise.all([acquiring, retrying])
      await temporary.close()
      if (lock !== undefined && lock !== 'none') await lock.release()
    },
  }
}

/** For a process that must never write, nor keep another one from writing. */
export function denyWrites(problem: string): WriteAccess {
  return {
    problem: () => problem,
    isHeld: () => false,
    change: async () => {
      throw new RegistryError('UNAVAILABLE', { message: `cannot write: ${problem}` })
    },
    close: async () => {},
  }
}

/** Checks the directory, or the one in which it would be created. */
async function assertWritable(path: string): Promise<void> {
  try {
    await access(path, constants.W_OK | constants.X_OK)
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error
    await assertWritable(dirname(path))
  }
}

function describe(error: unknown, root: string): string {
  const code = errnoOf(error)
  if (code === 'EROFS') return `the file system of ${root} is read-only`
  if (['EACCES', 'EPERM'].includes(code)) return `${code}: this user may not write to ${root}`
  return error instanceof Error ? error.message : String(error)
}
