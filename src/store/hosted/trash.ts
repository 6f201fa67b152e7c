import { rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Digest } from '../../oci/digest.ts'
import { errnoOf, isMissing, makeDirectory } from '../files.ts'
import { blobPath } from '../paths.ts'
import type { Temporary } from '../temporary.ts'
import { blobsIn, entriesOf, exists } from './directories.ts'
import type { DurableFiles } from './durable-files.ts'
import { freeRuns } from './free-runs.ts'
import type { Trash, TrashEntry, TrashRun } from './hosted-store.ts'
import { trashDirectory } from './layout.ts'
import { isRunId, parseRunId, type RunId, timeOfRun } from './run-id.ts'
import type { Syncing } from './syncing.ts'
import { bytesOf, directoryOf, entriesBelow } from './trash-entries.ts'
import { createTrashIndex } from './trash-index.ts'
import { removeEmpty, restoreDirectory } from './trash-restore.ts'
import type { WriteAccess } from './write-access.ts'

const maxAttempts = 5

/** {@link Trash}, and the ways into it. */
export interface TrashBin extends Trash {
  /**
   * Moves what an entry names to the trash. False: it does not exist. `durable`: so that no power
   * loss undoes it.
   */
  take(entry: TrashEntry, run: RunId, durable: boolean): Promise<boolean>
  /** Directories of runs, the newest first, each with the layout of a volume. */
  roots(): Promise<readonly string[]>
}

type TrashOptions = {
  readonly root: string
  readonly files: DurableFiles
  readonly syncing: Syncing
  readonly temporary: Temporary
  readonly access: WriteAccess
  /** A blob was restored that was read, or that is needed by what was pushed. */
  readonly onRestored: (digest: Digest, size: number) => void
}

/**
 * Everything that is removed is renamed to `_trash/RUN/` and its path: a file system does that as a
 * whole or not at all, and the way back is the same.
 */
export function createTrash(options: TrashOptions): TrashBin {
  const { root, files, syncing, temporary, access, onRestored } = options
  const rootOf = (run: RunId) => join(trashDirectory(root), run)

  const runIds = async (): Promise<readonly RunId[]> =>
    (await entriesOf(trashDirectory(root))).filter(isRunId).toSorted().toReversed()

  const find = async (digest: Digest): Promise<RunId | undefined> => {
    for (const run of await runIds()) if (await exists(blobPath(rootOf(run), digest))) return run
    return undefined
  }

  const index = createTrashIndex({
    find,
    scan: async function* () {
      for (const run of (await runIds()).toReversed())
        for await (const { digest } of blobsIn(rootOf(run))) yield { digest, run }
    },
  })

  /** Another process may change the trash while this one is not allowed to. */
  const runOf = (digest: Digest) => (access.isHeld() ? index.runOf(digest) : find(digest))

  const moveToTrash = async (
    entry: TrashEntry,
    run: RunId,
    attempts = maxAttempts,
  ): Promise<boolean> => {
    const [from, to] = [directoryOf(root, entry), directoryOf(rootOf(run), entry)]
    if (!(await exists(from))) return false
    await makeDirectory(dirname(to))
    try {
      await rename(from, to)
      return true
    } catch (error) {
      if (attempts === 1) throw error
      // The run removed an earlier one of the same name.
      if (['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) await discard(to)
      // Either it was removed at the same time, or the run was freed.
      else if (!isMissing(error)) throw error
      return await moveToTrash(entry, run, attempts - 1)
    }
  }

  /** In one step, so that a kill leaves nothing half deleted in the trash. */
  const discard = async (path: string): Promise<void> => {
    const away = await temporary.path()
    try {
      await rename(path, away)
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    await rm(away, { recursive: true, force: true })
  }

  const syncMove = async (entry: TrashEntry, run: RunId): Promise<void> => {
    const [from, to] = [directoryOf(root, entry), directoryOf(rootOf(run), entry)]
    await files.directory(dirname(to))
    await syncing.directories([dirname(to), dirname(from)])
  }

  const take: TrashBin['take'] = (entry, run, durable) =>
    access.change(async () => {
      parseRunId(run)
      // Before the move, so that nobody finds the blob in neither place.
      if (entry.kind === 'blob') await index.add(entry.digest, run)
      const moved = await moveToTrash(entry, run)
      if (!moved && entry.kind === 'blob') await index.delete(entry.digest)
      if (moved && durable) await syncMove(entry, run)
      return moved
    })

  const summary = async (run: RunId): Promise<TrashRun> => {
    let [entries, bytes] = [0, 0]
    for await (const entry of entriesBelow(rootOf(run))) {
      entries += 1
      bytes += bytesOf(entry)
    }
    return { run, at: timeOfRun(run), entries, bytes }
  }

  const freeRun = async (run: RunId) => {
    const { entries, bytes } = await summary(run)
    await index.forget(run)
    await discard(rootOf(run))
    return { entries, bytes }
  }

  const restore = (entry: TrashEntry, run: RunId) =>
    restoreDirectory({
      from: directoryOf(rootOf(run), entry),
      to: directoryOf(root, entry),
      files,
      syncing,
    })

  return {
    take,
    roots: async () => (await runIds()).map(rootOf),

    runs: async () => {
      const found: TrashRun[] = []
      for (const run of await runIds()) found.push(await summary(run))
      // All that a run removed may have been restored since.
      return found.filter(({ entries }) => entries > 0)
    },

    entries: (run) => entriesBelow(rootOf(parseRunId(run))),

    blobs: async function* (run) {
      for await (const entry of entriesBelow(rootOf(parseRunId(run))))
        if (entry.kind === 'blob' && !(await exists(blobPath(root, entry.digest))))
          yield entry.digest
    },

    undo: (run) =>
      access.change(async () => {
        let restored = 0
        for await (const entry of entriesBelow(rootOf(parseRunId(run)))) {
          if (await restore(entry, run)) restored += 1
          if (entry.kind === 'blob') await index.delete(entry.digest)
        }
        await removeEmpty(rootOf(run))
        return { restored }
      }),

    removedAt: async (digest) => {
      const run = await runOf(digest)
      return run && timeOfRun(run)
    },

    restoreBlob: async (digest) => {
      const run = await runOf(digest)
      if (run === undefined) return exists(blobPath(root, digest))
      return access.change(async () => {
        const size = await sizeOf(blobPath(rootOf(run), digest))
        const restored = size !== undefined && (await restore({ kind: 'blob', digest, size }, run))
        await index.delete(digest)
        if (restored) onRestored(digest, size)
        return exists(blobPath(root, digest))
      })
    },

    free: (what) => access.change(() => freeRuns(what, { runIds, freeRun })),
  }
}

function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
