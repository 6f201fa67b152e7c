import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import { limitTasks } from '../../memory/memory.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isRunId, type RunId, timeOfRun } from '../hosted/run-id.ts'
import type { ObjectStore, ObjectVersion, WriteCondition } from '../object-store.ts'
import { blobPath } from '../paths.ts'
import { digestOfMark, entryKey, markKey, marksPrefix } from './bucket-keys.ts'

/**
 * Milliseconds for which a process that deletes blobs may begin to, and from when another one that has
 * seen its mark may finish that: a margin between them for slow requests and their repetitions.
 */
const maxDeletion = 60_000
const abandonedAfter = 10 * 60_000
/** Milliseconds for which blobs are claimed before that, so that a slow bucket leaves time to delete them. */
const maxClaiming = maxDeletion / 2
/** Deletions of others that are remembered. */
const maxSeen = 10_000
/** Blobs that are deleted together, and requests for them at the same time. */
const batchSize = 200
const width = 8

const schema = z.object({
  run: z.string().refine(isRunId),
  size: z.int().min(0),
  isDeleting: z.boolean(),
})

type Mark = z.infer<typeof schema> & {
  readonly run: RunId
  readonly version: ObjectVersion
}

type RemovedBlob = { readonly digest: Digest; readonly size: number }

type MarksOptions = {
  readonly objects: ObjectStore
  readonly root: string
  /** Milliseconds since any fixed time. */
  readonly uptime: () => number
  /** A blob came back from the trash. */
  readonly onRestored: (digest: Digest, size: number) => void
}

/**
 * Which blobs are in the trash. Their bytes stay where they are, because a bucket cannot rename:
 *
 * 1. A removal creates a mark. An empty mark is none: it was restored.
 * 2. A process that needs the blob replaces the mark by an empty one, only if it is unchanged, and deletes it.
 * 3. After the delay, a deletion replaces the mark by one that says so, only if it is unchanged; then
 *    nobody restores the blob any more. It deletes the bytes, and then the mark. An attempt to
 *    store the blob meanwhile rejects with UNAVAILABLE, and its client tries again. So does another
 *    deletion: it would not know when the bytes are deleted for the last time.
 * 4. A process that was killed in 3 leaves its mark. Who sees that mark unchanged for some minutes does 3
 *    again. No clock is compared with that of another machine.
 *
 * So bytes are deleted only while no replica takes the blob for stored: each looks at the mark at
 * most a minute before it says so, and a mark that is deleted for has been there for the delay, which is
 * longer than a push.
 */
export function createMarks({ objects, root, uptime, onRestored }: MarksOptions) {
  /** Deletions of others, and when this process saw them first. */
  const seen = new LRUCache<Digest, { readonly version: ObjectVersion; readonly since: number }>({
    max: maxSeen,
  })
  const limit = limitTasks(width)

  const read = async (digest: Digest): Promise<Mark | 'restored' | undefined> => {
    const found = await objects.read(markKey(root, digest))
    if (found === undefined) return undefined
    const mark = parse(found.bytes)
    return mark === undefined ? 'restored' : { ...mark, version: found.head.version }
  }

  const readMark = async (digest: Digest): Promise<Mark | undefined> => {
    const mark = await read(digest)
    return mark === 'restored' ? undefined : mark
  }

  const textOf = (run: RunId, size: number, isDeleting: boolean): Buffer =>
    Buffer.from(JSON.stringify({ run, size, isDeleting }))

  const keysOf = ({ digest, size }: RemovedBlob, run: RunId): readonly string[] => [
    markKey(root, digest),
    entryKey(root, run, { kind: 'blob', digest, size }),
  ]

  const isDeletedByOthers = (digest: Digest, { isDeleting, version }: Mark): boolean => {
    if (!isDeleting) return false
    const known = seen.get(digest)
    if (known?.version === version) return uptime() < known.since + abandonedAfter
    seen.set(digest, { version, since: uptime() })
    return true
  }

  /** From now on nobody else restores or deletes the blob. False: somebody was first. */
  const claim = async (digest: Digest, { run, size, version }: Mark): Promise<boolean> => {
    const result = await objects.put(markKey(root, digest), textOf(run, size, true), { version })
    return result.kind === 'created'
  }

  /** Blobs that are claimed. False: it is too late, and a later run continues. */
  const deleteBytes = async (
    blobs: readonly RemovedBlob[],
    run: RunId,
    claimedAt: number,
  ): Promise<boolean> => {
    if (uptime() > claimedAt + maxDeletion) return false
    await objects.delete(blobs.map(({ digest }) => blobPath(root, digest)))
    await objects.delete(blobs.flatMap((blob) => keysOf(blob, run)))
    return true
  }

  /** Takes a blob out of the trash. False: it was not in it. @throws RegistryError UNAVAILABLE */
  const restore = async (digest: Digest): Promise<boolean> => {
    for (;;) {
      const mark = await readMark(digest)
      if (mark === undefined) return false
      const { run, size, version } = mark
      if (isDeletedByOthers(digest, mark))
        throw new RegistryError('UNAVAILABLE', {
          message: `${digest} is being deleted from the trash`,
          retryAfter: 5,
        })
      if (mark.isDeleting) {
        const claimedAt = uptime()
        if (await claim(digest, mark)) await deleteBytes([{ digest, size }], run, claimedAt)
        continue
      }
      const result = await objects.put(markKey(root, digest), Buffer.alloc(0), { version })
      if (result.kind !== 'created') continue
      onRestored(digest, size)
      // It is restored, whatever happens to the rest: the run deletes that at its end.
      await objects.delete(keysOf({ digest, size }, run)).catch(() => {})
      return true
    }
  }

  return {
    restore,

    /** The run that removed a blob which is in the trash. */
    runOf: async (digest: Digest): Promise<RunId | undefined> => (await readMark(digest))?.run,

    /** Digests of the blobs in the trash. */
    all: async (): Promise<ReadonlySet<Digest>> => {
      const digests = new Set<Digest>()
      for await (const page of objects.list(marksPrefix(root)))
        for (const { key, size } of page.objects) {
          const digest = digestOfMark(key)
          if (digest !== undefined && size > 0) digests.add(digest)
        }
      return digests
    },

    /** False: it is in the trash already. */
    add: async (digest: Digest, size: number, run: RunId): Promise<boolean> => {
      const key = markKey(root, digest)
      const entry = entryKey(root, run, { kind: 'blob', digest, size })
      // Before the mark: what is in the trash has an entry.
      await objects.put(entry, Buffer.alloc(0))
      for (let condition: WriteCondition = 'absent'; ; ) {
        const result = await objects.put(key, textOf(run, size, false), condition)
        if (result.kind === 'created') return true
        const found = await objects.read(key)
        const mark = found && parse(found.bytes)
        // If the response to the first attempt was lost, the mark is that of this run.
        if (mark?.run === run) return true
        if (mark !== undefined) break
        condition = found === undefined ? 'absent' : { version: found.head.version }
      }
      await objects.delete([entry])
      return false
    },

    /** Deletes those for good that a run removed and nobody restored, as many as there is time for. Returns them. */
    free: async (blobs: readonly RemovedBlob[], run: RunId): Promise<readonly RemovedBlob[]> => {
      const freed: RemovedBlob[] = []
      for (let at = 0; at < blobs.length; at += batchSize) {
        const claimed: RemovedBlob[] = []
        const stale: string[] = []
        const claimedAt = uptime()
        const prepare = async (blob: RemovedBlob): Promise<void> => {
          if (uptime() > claimedAt + maxClaiming) return
          const mark = await read(blob.digest)
          // A process that restored or removed it was killed before it had deleted the rest.
          if (mark === 'restored') stale.push(...keysOf(blob, run))
          else if (mark?.run !== run) stale.push(entryKey(root, run, { kind: 'blob', ...blob }))
          else if (!isDeletedByOthers(blob.digest, mark) && (await claim(blob.digest, mark)))
            claimed.push(blob)
        }
        const batch = blobs.slice(at, at + batchSize)
        await Promise.all(batch.map((blob) => limit(() => prepare(blob))))
        await objects.delete(stale)
        if (await deleteBytes(claimed, run, claimedAt)) freed.push(...claimed)
      }
      return freed
    },

    removedAt: async (digest: Digest): Promise<number | undefined> => {
      const run = (await readMark(digest))?.run
      return run && timeOfRun(run)
    },
  }
}

export type Marks = ReturnType<typeof createMarks>

/** Undefined: it is empty, or not ours. */
function parse(bytes: Buffer): z.infer<typeof schema> | undefined {
  if (bytes.length === 0) return undefined
  try {
    return schema.safeParse(JSON.parse(bytes.toString())).data
  } catch {
    return undefined
  }
}
