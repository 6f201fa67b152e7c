import { statfs } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'

/**
 * Once something has to be evicted, so much more is, in bytes, or this part of the limit if that is
 * less: not every write has to evict.
 */
const maxMargin = 16 * 1024 * 1024
const marginPart = 1 / 100
/** The file system is asked for its free space again after so many bytes at the latest. */
const maxCredit = 16 * 1024 * 1024

/**
 * A blob on its way in. It ends as a blob (`keep`) or not (`release`); whichever comes first
 * counts.
 */
export interface Reservation {
  /**
   * Makes room for bytes that are there and about to be written, and counts them. False: there is
   * no room, whatever is evicted.
   */
  arrive(bytes: number): Promise<boolean>
  /** So many of them are on the disk now, where the file system counts them too. */
  markWritten(bytes: number): void
  /** `size` is what the blob uses on the disk, in bytes. */
  keep(digest: Digest, size: number): void
  release(): void
}

/**
 * A blob in use: it is not evicted, and its bytes count until it is let go of even if it was
 * removed.
 */
export type Unpin = () => void

/**
 * Accounts for all that the cache uses on the disk, and decides what goes when more must come. Its
 * order is the order of use: a Map remembers in which order its keys were set. Sizes are disk use in
 * bytes, blocks and directories included.
 */
export interface Budget {
  /**
   * Admits a blob that was announced with so many bytes; undefined when they cannot get room,
   * whatever is evicted. Nothing is evicted for an announcement, only when bytes arrive.
   */
  reserve(announced: number): Promise<Reservation | undefined>
  /**
   * Found on disk, from an earlier run, oldest first. What was used meanwhile is newer. Called at
   * most once.
   */
  adopt(entries: Iterable<readonly [Digest, number]>): void
  /** A blob is used just now. False: it is not there, as far as is known. */
  use(digest: Digest): boolean
  /** A blob of so many bytes is there, and used just now. */
  touch(digest: Digest, size: number): void
  pin(digest: Digest): Unpin
  /** It is gone from the disk. */
  remove(digest: Digest): void
  /** What everything beside blobs uses. */
  setOverhead(bytes: number): void
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

type Entry = { size: number; pins: number; removed: boolean }

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
  /** Bytes of blobs that are there; of blobs that are on their way out; of all but blobs. */
  let stored = 0
  let leaving = 0
  let overhead = 0
  /** Bytes on their way in: those that came, and those that were announced and did not come yet. */
  let arrived = 0
  let outstanding = 0
  let reservations = 0
  /** Of the bytes that came, those that the file system does not know of yet. */
  let unwritten = 0
  /** What was written ever. */
  let written = 0
  /** Bytes that may come before the file system is asked for its free space again. */
  let credit = 0
  const margin = Math.min(limit * marginPart, maxMargin)
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
   * What the file system is short of when `bytes` more come. What is written while it is asked may
   * be in its answer or not, and is taken for not.
   */
  const shortage = async (bytes: number): Promise<number> => {
    const before = written
    const free = await statfs(directory).then(
      (answer) => answer.bavail * answer.bsize,
      () => Number.POSITIVE_INFINITY,
    )
    const lacking = minimumFree + unwritten + (written - before) - free
    credit = Math.min(-lacking / 4, maxCredit)
    return lacking + bytes
  }

  const excess = (bytes: number): number => stored + arrived + overhead + bytes - limit

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
    const entry = entries.get(digest) ?? { size: 0, pins: 0, removed: false }
    entries.delete(digest)
    entries.set(digest, entry)
    stored += size - entry.size
    entry.size = size
  }

  const makeRoom = async (bytes: number, count: (bytes: number) => void): Promise<boolean> => {
    const needed = Math.max(await shortage(bytes), excess(bytes), 0)
    const wished = excess(bytes) > 0 ? needed + margin : needed
    const chosen = victims(wished) ?? victims(needed)
    if (chosen === undefined) return false
    count(bytes)
    await evictAll(chosen)
    if (excess(0) <= 0) return true
    // What should have gone could not be removed.
    count(-bytes)
    return false
  }

  const open = (announced: number): Reservation => {
    let expected = announced
    let here = 0
    let unsettled = 0
    let isOpen = true
    reservations += 1
    outstanding += announced

    const count = (bytes: number): void => {
      const awaited = Math.max(0, Math.min(bytes, expected))
      expected -= awaited
      outstanding -= awaited
      here += bytes
      arrived += bytes
      unsettled += bytes
      unwritten += bytes
    }
    const markWritten = (bytes: number): void => {
      const known = Math.min(bytes, unsettled)
      unsettled -= known
      unwritten -= known
      written += known
    }
    const release = (): void => {
      if (!isOpen) return
      isOpen = false
      reservations -= 1
      outstanding -= expected
      arrived -= here
      markWritten(unsettled)
    }
    return {
      arrive: async (bytes) => {
        if (excess(bytes) > 0 || bytes > credit) return inTurn(() => makeRoom(bytes, count))
        credit -= bytes
        count(bytes)
        return true
      },
      markWritten,
      release,
      keep: (digest, size) => {
        release()
        // Another file than the one that may have been there, and may still be read.
        remove(digest)
        add(digest, size)
      },
    }
  }

  return {
    reserve: async (announced) => {
      const lacking = await shortage(announced + outstanding)
      const needed = Math.max(lacking, excess(announced + outstanding), 0)
      return victims(needed) && open(announced)
    },

    adopt: (found) => {
      const used = entries
      entries = new Map()
      stored = 0
      for (const [digest, size] of found) {
        const known = used.get(digest)
        if (gone?.has(digest)) continue
        // The walk has measured it; who used it may have estimated.
        if (known !== undefined) known.size = size
        else add(digest, size)
      }
      gone = undefined
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
    setOverhead: (bytes) => {
      overhead = bytes
    },

    digests: () => [...entries.keys()],
    isFilling: () => reservations > 0,
    usage: () => ({ bytes: stored + arrived + leaving + overhead, blobs: entries.size }),

    relieve: (bytes = 0) =>
      inTurn(async () => {
        const lacking = await shortage(0)
        const over = excess(0) > 0 ? excess(0) + margin : 0
        await evictAll(oldest(Math.max(over, lacking, bytes)).chosen)
      }),
  }
}
