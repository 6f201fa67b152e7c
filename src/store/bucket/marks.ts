import { z } from 'zod'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isRunId, type RunId, timeOfRun } from '../hosted/run-id.ts'
import type { ObjectStore, ObjectVersion } from '../object-store.ts'
import { blobPath } from '../paths.ts'
import { digestOfMark, entryKey, markKey, marksPrefix } from './bucket-keys.ts'

/**
 * Milliseconds for which a process that deletes a blob may do so, and from when another one may finish
 * that: a margin between them for clocks and slow requests.
 */
const maxDeletion = 60_000
const abandonedAfter = 15 * 60_000

const schema = z.object({
  run: z.string().refine(isRunId),
  size: z.int().min(0),
  isDeleting: z.boolean(),
})

type Mark = z.infer<typeof schema> & {
  readonly run: RunId
  readonly version: ObjectVersion
  readonly modified: number
}

type MarksOptions = {
  readonly objects: ObjectStore
  readonly root: string
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
 *    store the blob meanwhile rejects with UNAVAILABLE, and its client tries again.
 *
 * So bytes are deleted only while no replica takes the blob for stored: each looks at the mark before it
 * says so, and a mark that is deleted for has been there for the delay, which is longer than a push.
 */
export function createMarks({ objects, root, onRestored }: MarksOptions) {
  const read = async (digest: Digest): Promise<Mark | 'restored' | undefined> => {
    const found = await objects.read(markKey(root, digest))
    if (found === undefined) return undefined
    const mark = parse(found.bytes)
    return mark === undefined ? 'restored' : { ...mark, ...found.head, size: mark.size }
  }

  const textOf = (run: RunId, size: number, isDeleting: boolean): Buffer =>
    Buffer.from(JSON.stringify({ run, size, isDeleting }))

  const deleteBytes = async (digest: Digest, mark: Mark): Promise<void> => {
    const { run, size } = mark
    await objects.delete([blobPath(root, digest)])
    await objects.delete([markKey(root, digest)])
    await objects.delete([entryKey(root, run, { kind: 'blob', digest, size })])
  }

  /** Takes a blob out of the trash. False: it was not in it. @throws RegistryError UNAVAILABLE */
  const restore = async (digest: Digest): Promise<boolean> => {
    for (;;) {
      const mark = await read(digest)
      if (mark === undefined || mark === 'restored') return false
      const { run, size, version } = mark
      if (mark.isDeleting) {
        if (Date.now() - mark.modified < abandonedAfter)
          throw new RegistryError('UNAVAILABLE', {
            message: `${digest} is being deleted from the trash`,
            retryAfter: 5,
          })
        await deleteBytes(digest, mark)
        return false
      }
      const result = await objects.put(markKey(root, digest), Buffer.alloc(0), { version })
      if (result.kind !== 'created') continue
      await objects.delete([markKey(root, digest)])
      await objects.delete([entryKey(root, run, { kind: 'blob', digest, size })])
      onRestored(digest, size)
      return true
    }
  }

  return {
    restore,

    /** The run that removed a blob which is in the trash. */
    runOf: async (digest: Digest): Promise<RunId | undefined> => {
      const mark = await read(digest)
      return mark === undefined || mark === 'restored' ? undefined : mark.run
    },

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
      const known = await objects.head(markKey(root, digest))
      if (known !== undefined && known.size > 0) return false
      const entry = entryKey(root, run, { kind: 'blob', digest, size })
      // Before the mark: what is in the trash has an entry.
      await objects.put(entry, Buffer.alloc(0))
      const condition = known === undefined ? 'absent' : { version: known.version }
      const result = await objects.put(markKey(root, digest), textOf(run, size, false), condition)
      if (result.kind !== 'created') await objects.delete([entry])
      return result.kind === 'created'
    },

    /** Deletes a blob for good that a run removed. False: it was restored. */
    free: async (digest: Digest, run: RunId): Promise<boolean> => {
      const mark = await read(digest)
      if (mark === undefined || mark === 'restored' || mark.run !== run) return false
      const { size, version } = mark
      const deadline = performance.now() + maxDeletion
      const result = await objects.put(markKey(root, digest), textOf(run, size, true), { version })
      // If it is too late, the next run continues.
      if (result.kind !== 'created' || performance.now() > deadline) return false
      await deleteBytes(digest, mark)
      return true
    },

    removedAt: async (digest: Digest): Promise<number | undefined> => {
      const mark = await read(digest)
      return mark === undefined || mark === 'restored' ? undefined : timeOfRun(mark.run)
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
