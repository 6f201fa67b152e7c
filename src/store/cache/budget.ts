import type { Digest } from '../../oci/digest.ts'
import { createFreeSpace } from './free-space.ts'
import { createStoredBlobs, type StoredBlobs } from './stored-blobs.ts'

/**
 * Minimum bytes of one eviction, or this part of the limit if that is less, so that not every write
 * has to evict.
 */
const maxMargin = 16 * 1024 * 1024
const marginPart = 1 / 100

/**
 * A blob in flight. It ends as a committed blob (`commit`) or not (`release`); only the first of
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
  commit(digest: Digest, size: number): void
  release(): void
}

type Blobs = Pick<
  StoredBlobs,
  'restore' | 'use' | 'sizeOf' | 'touch' | 'pin' | 'remove' | 'digests'
>

/**
 * Counts all disk use of the cache, and evicts the least recently used blobs when more bytes
 * arrive.
 */
export interface Budget extends Blobs {
  /**
   * Admits a blob with an announced size in bytes; undefined when there is no room for it, even
   * after all evictions. An announcement evicts nothing; arriving bytes do.
   */
  reserve(announced: number): Promise<Reservation | undefined>
  /** Sets the disk use of everything except blobs. */
  setOverhead(bytes: number): void
  usage(): { readonly bytes: number; readonly blobs: number }
  /** Whether a blob is being stored. */
  isFilling(): boolean
  /**
   * Evicts at least `bytes`, and more if other programs have filled the disk, as far as blobs not
   * in use suffice.
   */
  evict(bytes?: number): Promise<void>
  /** Evicts these blobs, unless they are pinned. Returns the bytes that it frees. */
  evictThese(digests: readonly Digest[]): Promise<number>
}

type BudgetOptions = {
  readonly directory: string
  /** Bytes. */
  readonly limit: number
  /** Bytes that stay free on the file system, regardless of which program fills it. */
  readonly minimumFree: number
  readonly isPinned?: (digest: Digest) => boolean
  /** Removes a blob from the disk; rejects when that fails. */
  readonly removeFromDisk: (digest: Digest) => Promise<void>
  readonly onAdmitted?: () => void
  readonly onRefused?: (refusal: Refusal) => void
}

/** Bytes that found no room. */
export type Refusal = {
  readonly bytes: number
  /** Bytes that the file system lacks for them; negative when it has room. */
  readonly shortage: number
  /** Bytes of all blobs that could be evicted. */
  readonly evictable: number
}

export function createBudget(options: BudgetOptions): Budget {
  const { directory, limit, minimumFree, isPinned = () => false, removeFromDisk } = options
  const { onAdmitted = () => {}, onRefused = () => {} } = options
  const blobs = createStoredBlobs({ removeFromDisk, isPinned })
  const space = createFreeSpace({ directory, minimumFree })
  const margin = Math.min(limit * marginPart, maxMargin)
  let overhead = 0
  /**
   * Bytes of blobs in flight: those that arrived, and those that were announced and did not arrive
   * yet.
   */
  let arrived = 0
  let outstanding = 0
  let reservations = 0
  /** Evictions run one after another: two of them must not count the same freed bytes. */
  let lastEviction: Promise<unknown> = Promise.resolve()

  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const done = lastEviction.then(work)
    lastEviction = done.catch(() => {})
    return done
  }

  const excess = (bytes: number): number => blobs.bytesOnDisk() + arrived + overhead + bytes - limit

  /** Undefined when all blobs together do not free `bytes`. */
  const victims = (bytes: number): readonly Digest[] | undefined => {
    const candidates = blobs.oldest(bytes)
    return candidates.bytes >= bytes ? candidates.digests : undefined
  }

  const refuse = (bytes: number, shortage: number): undefined =>
    void onRefused({ bytes, shortage, evictable: blobs.oldest(Number.POSITIVE_INFINITY).bytes })

  const makeRoom = async (bytes: number, count: (bytes: number) => void): Promise<boolean> => {
    const shortage = await space.shortage(bytes)
    const needed = Math.max(shortage, excess(bytes), 0)
    const withMargin = excess(bytes) > 0 ? needed + margin : needed
    const chosen = victims(withMargin) ?? victims(needed)
    if (chosen === undefined) {
      refuse(bytes, shortage)
      return false
    }
    count(bytes)
    await blobs.evict(chosen)
    if (excess(0) <= 0) return true
    // A blob that should have been evicted could not be removed.
    count(-bytes)
    return false
  }

  const open = (announced: number): Reservation => {
    /** Bytes of this blob: announced and not arrived; arrived; arrived and not written. */
    let expected = announced
    let received = 0
    let unwritten = 0
    let isOpen = true
    reservations += 1
    outstanding += announced

    const count = (bytes: number): void => {
      const awaited = Math.max(0, Math.min(bytes, expected))
      expected -= awaited
      outstanding -= awaited
      received += bytes
      arrived += bytes
      unwritten += bytes
      space.addUnwritten(bytes)
    }
    const markWritten = (bytes: number): void => {
      const known = Math.min(bytes, unwritten)
      unwritten -= known
      space.markWritten(known)
    }
    const release = (): void => {
      if (!isOpen) return
      isOpen = false
      reservations -= 1
      outstanding -= expected
      arrived -= received
      markWritten(unwritten)
    }
    return {
      arrive: async (bytes) => {
        if (excess(bytes) > 0 || !space.useCredit(bytes))
          return inTurn(() => makeRoom(bytes, count))
        count(bytes)
        return true
      },
      markWritten,
      release,
      commit: (digest, size) => {
        release()
        blobs.replace(digest, size)
      },
    }
  }

  const { restore, use, sizeOf, touch, pin, remove, digests } = blobs
  return {
    restore,
    use,
    sizeOf,
    touch,
    pin,
    remove,
    digests,

    reserve: async (announced) => {
      const shortage = await space.shortage(announced + outstanding)
      const needed = Math.max(shortage, excess(announced + outstanding), 0)
      if (victims(needed) === undefined) return refuse(announced, shortage)
      onAdmitted()
      return open(announced)
    },

    setOverhead: (bytes) => {
      overhead = bytes
    },

    isFilling: () => reservations > 0,
    usage: () => ({ bytes: blobs.bytesInUse() + arrived + overhead, blobs: blobs.count() }),

    evict: (bytes = 0) =>
      inTurn(async () => {
        const shortfall = await space.shortage(0)
        const over = excess(0) > 0 ? excess(0) + margin : 0
        await blobs.evict(blobs.oldest(Math.max(over, shortfall, bytes)).digests)
      }),

    evictThese: (chosen) =>
      inTurn(async () => {
        const sizes = chosen.flatMap((digest) => {
          const size = isPinned(digest) ? undefined : blobs.sizeOf(digest)
          return size === undefined ? [] : [{ digest, size }]
        })
        await blobs.evict(sizes.map(({ digest }) => digest))
        return sizes
          .filter(({ digest }) => blobs.sizeOf(digest) === undefined)
          .reduce((sum, { size }) => sum + size, 0)
      }),
  }
}
