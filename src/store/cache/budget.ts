import { statfs } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'

/**
 * Minimum bytes of one eviction, or this part of the limit if that is less, so that not every write
 * has to evict.
 */
const maxMargin = 16 * 1024 * 1024
const marginPart = 1 / 100
/** The free space of the file system is read again at the latest after so many bytes. */
const maxCredit = 16 * 1024 * 1024

/**
 * A blob in flight. It ends as a committed blob (`keep`) or not (`release`); only the first of
 * these calls has an effect.
 */
export interface Reservation {
  /**
   * Makes room for bytes that arrived and are about to be written, and counts them. False: there is
   * no room, even after all evictions.
   */
  arrive(bytes: number): Promise<boolean>
  /** These bytes are on the disk now, and the file system counts them too. */
  markWritten(bytes: number): void
  /** `size`: the disk use of the blob in bytes. */
  keep(digest: Digest, size: number): void
  release(): void
}

/**
 * Ends the use of a blob. A blob in use is not evicted, and its bytes count until the use ends,
 * even if the blob was removed.
 */
export type Unpin = () => void

/**
 * Counts all disk use of the cache, and selects the blobs to evict when more bytes arrive. The
 * order is the order of use: a Map keeps the order in which its keys were set. Sizes are disk use
 * in bytes, including partial blocks and directories.
 */
export interface Budget {
  /**
   * Admits a blob with an announced size in bytes; undefined when there is no room for it, even
   * after all evictions. An announcement evicts nothing; arriving bytes do.
   */
  reserve(announced: number): Promise<Reservation | undefined>
  /**
   * Restores blobs of an earlier run, oldest first. Blobs used since the start are newer. Called at
   * most once.
   */
  adopt(entries: Iterable<readonly [Digest, number]>): void
  /** Marks a blob as used now. False: no such blob is known. */
  use(digest: Digest): boolean
  /** Counts a blob of `size` bytes, and marks it as used now. */
  touch(digest: Digest, size: number): void
  pin(digest: Digest): Unpin
  /** The blob was removed from the disk. */
  remove(digest: Digest): void
  /** Sets the disk use of everything except blobs. */
  setOverhead(bytes: number): void
  /** Digests, least recently used first. */
  digests(): readonly Digest[]
  usage(): { readonly bytes: number; readonly blobs: number }
  /** Whether a blob is being stored. */
  isFilling(): boolean
  /**
   * Evicts at least `bytes`, and more if other programs have filled the disk, as far as blobs not
   * in use suffice.
   */
  relieve(bytes?: number): Promise<void>
}

type Entry = { size: number; pins: number; removed: boolean }

type BudgetOptions = {
  readonly directory: string
  /** Bytes. */
  readonly limit: number
  /** Bytes that stay free on the file system, regardless of which program fills it. */
  readonly minimumFree: number
  /** Removes a blob from the disk; rejects when that fails. */
  readonly evict: (digest: Digest) => Promise<void>
}

export function createBudget({ directory, limit, minimumFree, evict }: BudgetOptions): Budget {
  let entries = new Map<Digest, Entry>()
  /** Blobs that are being removed from the disk. A reader may have opened one just before. */
  const evicting = new Map<Digest, Entry>()
  /** Bytes of stored blobs; of blobs that are being removed; of everything except blobs. */
  let stored = 0
  let leaving = 0
  /** Bytes of files that are being removed: they are on the disk until that is done. */
  let removing = 0
  let overhead = 0
  /**
   * Bytes of blobs in flight: those that arrived, and those that were announced and did not arrive
   * yet.
   */
  let arrived = 0
  let outstanding = 0
  let reservations = 0
  /** Arrived bytes that the file system does not count yet. */
  let unwritten = 0
  /** Total bytes written since the start. */
  let written = 0
  /** Bytes that may arrive before the free space of the file system is read again. */
  let credit = 0
  const margin = Math.min(limit * marginPart, maxMargin)
  /** Evictions run one after another: two of them must not count the same freed bytes. */
  let turn: Promise<unknown> = Promise.resolve()
  /** Blobs removed before `adopt` was called. The scan may have seen them before their removal. */
  let gone: Set<Digest> | undefined = new Set()

  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const done = turn.then(work)
    turn = done.catch(() => {})
    return done
  }

  /**
   * Bytes that the file system lacks for `bytes` more. Bytes written during the `statfs` may or may
   * not be in its result; they are counted as not in it.
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

  const excess = (bytes: number): number => stored + removing + arrived + overhead + bytes - limit

  /** The least recently used blobs that free `bytes`, or as much of that as possible. */
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

  /** Undefined when all blobs together do not free `bytes`. */
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

  /** The bytes are freed when the blob is removed from the disk and has no readers any more. */
  const settle = (entry: Entry): void => {
    if (entry.removed && entry.pins === 0) leaving -= entry.size
  }

  const unpin = (entry: Entry): void => {
    entry.pins -= 1
    settle(entry)
  }

  /** The danger: the file may be opened, or stored again, while it is being removed. */
  const evictOne = async (digest: Digest): Promise<void> => {
    const entry = forget(digest)
    if (entry === undefined) return
    entry.pins += 1
    removing += entry.size
    evicting.set(digest, entry)
    const isGone = await evict(digest).then(
      () => true,
      () => false,
    )
    removing -= entry.size
    if (evicting.get(digest) === entry) evicting.delete(digest)
    unpin(entry)
    // The blob is still on the disk, so it still counts.
    if (!isGone) add(digest, entry.size)
    // The blob was stored again, and it is unknown whether before its file was removed or after.
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
    // A blob that should have been evicted could not be removed.
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
        // A new file: an older file of the blob may still have readers.
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
        // The scan measured the size; the use may have estimated it.
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
