import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { isDiskFull, makeDirectory } from '../files.ts'
import { acquireLock, type Lock } from '../lock.ts'
import { blobsDirectory } from '../paths.ts'
import type { Temporary } from '../temporary.ts'
import { assertCache, markCache } from './mark.ts'

/** A directory that this process alone uses as its cache. */
export type Claim = {
  /** Undefined when the file system has no locks, or no space for one. */
  readonly lock: Lock | undefined
  /** Why nothing can be written yet: the disk is full. */
  readonly full: unknown
}

type ClaimOptions = {
  readonly root: string
  readonly temporary: Temporary
  readonly telemetry: Telemetry
}

/**
 * Locks and marks the directory of a cache.
 * @throws a system error when it cannot be created or written, an Error when another process uses
 * it or when it is not a cache. A full disk is not an error.
 */
export async function claimDirectory({ root, temporary, telemetry }: ClaimOptions): Promise<Claim> {
  await assertCache(root)
  const lock = await lockDirectory(root)
  if (lock === undefined)
    telemetry.log.warn(
      { directory: root },
      'cannot lock the cache: its file system supports no Unix sockets, or is full; make sure that no other process uses it',
    )
  try {
    await probe(root, temporary)
    return { lock, full: undefined }
  } catch (error) {
    if (isDiskFull(error)) return { lock, full: error }
    await lock?.release()
    throw error
  }
}

async function lockDirectory(root: string): Promise<Lock | undefined> {
  try {
    await makeDirectory(root)
    return await acquireLock(root)
  } catch (error) {
    if (isDiskFull(error)) return undefined
    throw error
  }
}

/** Performs the operations of a fill once: a directory where they fail cannot be a cache. */
async function probe(root: string, temporary: Temporary): Promise<void> {
  await makeDirectory(blobsDirectory(root))
  const { path, handle } = await temporary.create()
  await handle.close()
  try {
    await rename(path, join(blobsDirectory(root), 'probe'))
  } finally {
    await rm(path, { force: true })
    await rm(join(blobsDirectory(root), 'probe'), { force: true })
  }
  await markCache(root)
}
