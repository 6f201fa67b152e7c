import { statfs } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'

/** Eviction goes on to this part of the limit, so that not every fill has to evict. */
const lowWater = 0.9

/**
 * Room that was set aside. It ends as a blob (`keep`) or not (`release`); whichever comes first
 * counts.
 */
export interface Reservation {
  /** So many of its bytes are on the disk now, where the file system counts them too. */
  spend(bytes: number): void
  keep(digest: Digest, size: number): void
  release(): void
}

/**
 * A blob in use: it is not evicted, and its bytes count until it is let go of even if it was
 * removed.
 */
export type Unpin = () => void

/**
 * Accounts for every byte of the cache, and decides what goes when more must come. Its order is the
 * order of use: a Map remembers in which order its keys were set.
 */
export interface Budget {
  /** Undefined when there is no room, whatever is evicted: then nothing is. */
  reserve(bytes: number): Promise<Reservation | undefined>
  /**
   * Found on disk, from an earlier run, oldest first. What was used meanwhile is newer. Called at
   * most once.
   */
  adopt(entries: Iterable<readonly [Digest, number]>): void
  /** A blob of so many bytes is there, and used just now. */
  touch(digest: Digest, size: number): void
  pin(digest: Digest): Unpin
  /** It is gone from the disk. */
  remove(digest: Digest): void
  /** Digests, least recently used first. */
  digests(): readonly Digest[]
  usage(): { readonly bytes: number; readonly blobs: number }
  /** Whether something is being stored. */
  isFilling(): boolean
  /**
   * Evicts `bytes`, or more if the disk has become too full for other reasons than ours, as far as
   * what is not in use goes.
   */
  relieve(bytes?: number): Promise<void>
}

type Entry = { readonly size: number; pins: number; removed: boolean }

type BudgetOptions = {
  readonly directory: string
  /** Bytes. */
  readonly limit: number
  /** Bytes that stay free on the file system, whoever fills it. */
  readonly minimumFree: number
  /** Removes a blob from the disk; rejects when that fails. */
  readonly evict: (digest: Digest) => Promise<void>
}

export function createBudget({ directory, limit, minimumFree, evict }: BudgetOptions): Budget {
  let entries = new Map<Digest, Entry>()
  /** What is being removed from the disk: as good as gone, but for who opened it just in time. */
  const evicting = new Map<Digest, Entry>()
  /** Bytes of blobs that are there; of reservations; of blobs that are on their way out. */
  let stored = 0
  let reserved = 0
  let leaving = 0
  /** Of the reserved bytes, those that the file system does not know of yet. */
  let unspent = 0
  /** What was spent ever. */
  let spent = 0
  /** Whoever evicts does so in turn: what one frees, another must not count on. */
  let turn: Promise<unknown> = Promise.resolve()
  /** What went before `adopt` came with what a walk had seen, perhaps while it was still there. */
  let gone: Set<Digest> | undefined = new Set()

  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const done = turn.then(work)
    turn = done.catch(() => {})
    return done
  }

  /**
   * What the file system is short of, when all that was set aside comes. What is written while it is
   * asked may be in its answer or not, and is taken for not.
   */
  const shortage = async (): Promise<number> => {
    const before = spent
    const free = await statfs(directory).then(
      (told) => told.bavail * told.bsize,
      () => Number.POSITIVE_INFINITY,
    )
    return minimumFree + unspent + (spent - before) - free
  }

  /** The least recently used that free `bytes`, or as much of that as they can. */
  const oldest = (bytes: number) => {
    const chosen: Digest[] = []
    let freed = 0
    for (const [digest, { size, pins }] of entries) {
      if (freed >= bytes) break
      if (pins > 0) continue
      chosen.push(digest)
      freed += size
    }
    return { chosen, freed }
  }

  /** Undefined when all together do not free `bytes`. */
  const victims = (bytes: number): readonly Digest[] | undefined => {
    const { chosen, freed } = oldest(bytes)
    return freed >= bytes ? chosen : undefined
  }

  const forget = (digest: Digest): Entry | undefined => {
    gone?.add(digest)
    const entry = entries.get(digest)
    if (entry === undefined) return undefined
    entries.delete(digest)
    stored -= entry.size
    entry.removed = true
    leaving += entry.size
    return entry
  }

  /** Its bytes are gone when it is off the disk, and nobody reads it any more. */
  const settle = (entry: Entry): void => {
    if (entry.removed && entry.pins === 0) leaving -= entry.size
  }

  const unpin = (entry: Entry): void => {
    entry.pins -= 1
    settle(entry)
  }

  /** The danger: the file may be opened, or stored anew, while it is being removed. */
  const evictOne = async (digest: Digest): Promise<void> => {
    const entry = forget(digest)
    if (entry === undefined) return
    entry.pins += 1
    evicting.set(digest, entry)
    const isGone = await evict(digest).then(
      () => true,
      () => false,
    )
    if (evicting.get(digest) === entry) evicting.delete(digest)
    unpin(entry)
    // Still on the disk, so still counted.
    if (!isGone) add(digest, entry.size)
    // Stored anew, and nobody knows whether before its file was removed or after.
    else if (entries.has(digest)) await evictOne(digest)
  }

  const evictAll = async (digests: readonly Digest[]): Promise<void> => {
    await Promise.all(digests.map(evictOne))
  }

  const remove = (digest: Digest): void => {
    const entry = forget(digest)
    if (entry !== undefined) settle(entry)
  }

  const add = (digest: Digest, size: number): void => {
    const known = entries.get(digest)
    if (known?.size === size) {
      entries.delete(digest)
      entries.set(digest, known)
      return
    }
    remove(digest)
    entries.set(digest, { size, pins: 0, removed: false })
    stored += size
  }

  const hold = (bytes: number): Reservation => {
    reserved += bytes
    unspent += bytes
    let open = true
    let left = bytes
    const spend = (count: number) => {
      const most = Math.min(count, left)
      left -= most
      unspent -= most
      spent += most
    }
    const release = () => {
      if (open) reserved -= bytes
      open = false
      spend(left)
    }
    return {
      spend,
      release,
      keep: (digest, size) => {
        release()
        // Another file than the one that may have been there, and may still be read.
        remove(digest)
        add(digest, size)
      },
    }
  }

  const makeRoom = async (bytes: number): Promise<Reservation | undefined> => {
    const lacking = bytes + (await shortage())
    const total = stored + reserved + bytes
    const needed = Math.max(total - limit, lacking, 0)
    const wished = total > limit ? Math.max(total - limit * lowWater, needed) : needed
    const chosen = bytes > limit ? undefined : (victims(wished) ?? victims(needed))
    if (chosen === undefined) return undefined
    const reservation = hold(bytes)
    await evictAll(chosen)
    if (stored + reserved <= limit) return reservation
    // What should have gone could not be removed.
    reservation.release()
    return undefined
  }

  return {
    reserve: async (bytes) => {
      const lacking = bytes + (await shortage())
      if (lacking <= 0 && stored + reserved + bytes <= limit) return hold(bytes)
      return inTurn(() => makeRoom(bytes))
    },

    adopt: (found) => {
      const used = entries
      entries = new Map()
      stored = 0
      for (const [digest, size] of found)
        if (!used.has(digest) && !gone?.has(digest)) add(digest, size)
      gone = undefined
      for (const [digest, entry] of used) {
        entries.set(digest, entry)
        stored += entry.size
      }
    },

    touch: (digest, size) => {
      if (entries.has(digest) || !evicting.has(digest)) add(digest, size)
    },

    pin: (digest) => {
      const entry = entries.get(digest) ?? evicting.get(digest)
      if (entry === undefined) return () => {}
      entry.pins += 1
      return () => unpin(entry)
    },

    remove,

    digests: () => [...entries.keys()],
    isFilling: () => reserved > 0,
    usage: () => ({ bytes: stored + reserved + leaving, blobs: entries.size }),

    relieve: (bytes = 0) =>
      inTurn(async () => {
        const lacking = await shortage()
        const over = stored + reserved > limit ? stored + reserved - limit * lowWater : 0
        await evictAll(oldest(Math.max(over, lacking, bytes)).chosen)
      }),
  }
}
