import type { Digest } from '../../oci/digest.ts'

/**
 * Ends the use of a blob. A blob in use is not evicted, and its bytes count until the use ends,
 * even if the blob was removed.
 */
export type Unpin = () => void

/** Least recently used blobs, and the bytes that their eviction frees. */
type Candidates = { readonly digests: readonly Digest[]; readonly bytes: number }

/**
 * The blobs of a cache, in the order of use: a Map keeps the order in which its keys were set.
 * Sizes are disk use in bytes, including partial blocks and directories.
 */
export interface StoredBlobs {
  /**
   * Restores blobs of an earlier run, oldest first. Blobs used since the start are newer. Called at
   * most once.
   */
  restore(entries: Iterable<readonly [Digest, number]>): void
  /** Marks a blob as used now. False: no such blob is known. */
  use(digest: Digest): boolean
  /** Without marking it as used. */
  sizeOf(digest: Digest): number | undefined
  /** Counts a blob of `size` bytes, and marks it as used now. */
  touch(digest: Digest, size: number): void
  /** Counts a new file. An older file of the blob may still have readers. */
  replace(digest: Digest, size: number): void
  pin(digest: Digest): Unpin
  /** The blob was removed from the disk. */
  remove(digest: Digest): void
  /** The least recently used blobs that free `bytes`, or as much of that as possible. */
  oldest(bytes: number): Candidates
  evict(digests: readonly Digest[]): Promise<void>
  /** Least recently used first. */
  digests(): readonly Digest[]
  /** Bytes of all files that are not removed from the disk yet. */
  bytesOnDisk(): number
  /** As `bytesOnDisk`, and removed files that still have readers. */
  bytesInUse(): number
  count(): number
}

type Entry = { size: number; pins: number; removed: boolean }

type StoredBlobsOptions = {
  /** Whether a blob is pinned: only `evict` removes it. */
  readonly isPinned: (digest: Digest) => boolean
  /** Rejects when the file cannot be removed. */
  readonly removeFromDisk: (digest: Digest) => Promise<void>
}

export function createStoredBlobs({ removeFromDisk, isPinned }: StoredBlobsOptions): StoredBlobs {
  let entries = new Map<Digest, Entry>()
  /** Blobs that are being removed from the disk. A reader may have opened one just before. */
  const evicting = new Map<Digest, Entry>()
  let stored = 0
  /** Bytes of removed blobs that are being removed from the disk, or still have readers. */
  let removedInUse = 0
  /** Bytes of files that are being removed: they are on the disk until that is done. */
  let removing = 0
  /** Blobs removed before `restore` was called. The scan may have seen them before that. */
  let removedEarly: Set<Digest> | undefined = new Set()

  const add = (digest: Digest, size: number): void => {
    const entry = entries.get(digest) ?? { size: 0, pins: 0, removed: false }
    entries.delete(digest)
    entries.set(digest, entry)
    stored += size - entry.size
    entry.size = size
  }

  const take = (digest: Digest): Entry | undefined => {
    removedEarly?.add(digest)
    const entry = entries.get(digest)
    if (entry === undefined) return undefined
    entries.delete(digest)
    stored -= entry.size
    entry.removed = true
    removedInUse += entry.size
    return entry
  }

  /** The bytes are freed when the blob is removed from the disk and has no readers any more. */
  const freeIfUnused = (entry: Entry): void => {
    if (entry.removed && entry.pins === 0) removedInUse -= entry.size
  }

  const unpin = (entry: Entry): void => {
    entry.pins -= 1
    freeIfUnused(entry)
  }

  const remove = (digest: Digest): void => {
    const entry = take(digest)
    if (entry !== undefined) freeIfUnused(entry)
  }

  /** The danger: the file may be opened, or stored again, while it is being removed. */
  const evictOne = async (digest: Digest): Promise<void> => {
    const entry = take(digest)
    if (entry === undefined) return
    entry.pins += 1
    removing += entry.size
    evicting.set(digest, entry)
    const isRemoved = await removeFromDisk(digest).then(
      () => true,
      () => false,
    )
    removing -= entry.size
    if (evicting.get(digest) === entry) evicting.delete(digest)
    unpin(entry)
    // The blob is still on the disk, so it still counts.
    if (!isRemoved) add(digest, entry.size)
    // The blob was stored again, and it is unknown whether before its file was removed or after.
    else if (entries.has(digest)) await evictOne(digest)
  }

  return {
    restore: (found) => {
      const used = entries
      entries = new Map()
      stored = 0
      for (const [digest, size] of found) {
        const known = used.get(digest)
        if (removedEarly?.has(digest)) continue
        // The scan measured the size; the use may have estimated it.
        if (known !== undefined) known.size = size
        else add(digest, size)
      }
      removedEarly = undefined
      for (const [digest, entry] of used) {
        entries.set(digest, entry)
        stored += entry.size
      }
    },

    use: (digest) => {
      const entry = entries.get(digest)
      if (entry !== undefined) add(digest, entry.size)
      return entry !== undefined
    },

    sizeOf: (digest) => entries.get(digest)?.size,

    touch: (digest, size) => {
      if (entries.has(digest) || !evicting.has(digest)) add(digest, size)
    },

    replace: (digest, size) => {
      remove(digest)
      add(digest, size)
    },

    pin: (digest) => {
      const entry = entries.get(digest) ?? evicting.get(digest)
      if (entry === undefined) return () => {}
      entry.pins += 1
      return () => unpin(entry)
    },

    remove,

    oldest: (bytes) => {
      const digests: Digest[] = []
      let freed = 0
      for (const [digest, { size, pins }] of entries) {
        if (freed >= bytes) break
        if (pins > 0 || isPinned(digest)) continue
        digests.push(digest)
        freed += size
      }
      return { digests, bytes: freed }
    },

    evict: async (digests) => {
      await Promise.all(digests.map(evictOne))
    },

    digests: () => [...entries.keys()],
    bytesOnDisk: () => stored + removing,
    bytesInUse: () => stored + removedInUse,
    count: () => entries.size,
  }
}
