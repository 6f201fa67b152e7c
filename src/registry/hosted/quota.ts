import { RegistryError } from '../../oci/errors.ts'

/** How long a refusal is repeated without counting again, in milliseconds. */
const refusalLife = 1000
/** How long a count is used where other processes store as well, in milliseconds. */
const sharedLife = 60_000
const mebibyte = 1024 * 1024

/** The limit of one prefix. All sizes in bytes. */
export interface Quota {
  readonly prefix: string
  /** Reserves bytes. @throws RegistryError DENIED */
  take(bytes: number): Promise<void>
  /** A push that reserved bytes is over, and stored some or none. */
  end(reserved: number, stored: number): void
  freed(): void
}

type QuotaOptions = {
  readonly prefix: string
  readonly limit: number
  /** Counts what is used, after all changes until now. */
  readonly used: () => Promise<number>
  /** Others store as well. */
  readonly isShared?: boolean
}

/**
 * Counting takes long, so an estimate that is never too low is kept between counts: what was counted,
 * and everything that was stored since, even if it was there already. What others store is in the next count.
 */
export function createQuota({ prefix, limit, used, isShared = false }: QuotaOptions): Quota {
  let estimate: number | undefined
  let storedSince = 0
  let reserved = 0
  let countedAt = Number.NEGATIVE_INFINITY
  let isFreed = false
  let counting: Promise<void> | undefined

  const count = async (): Promise<void> => {
    storedSince = 0
    isFreed = false
    const counted = await used()
    estimate = counted + storedSince
    countedAt = performance.now()
  }

  /** A count that began after the call. */
  const countAgain = async (): Promise<void> => {
    await counting?.catch(() => {})
    counting ??= count().finally(() => {
      counting = undefined
    })
    await counting
  }

  const hasRoom = (bytes: number): boolean =>
    estimate !== undefined && estimate + reserved + bytes <= limit

  const isExact = (): boolean =>
    !isFreed && storedSince === 0 && performance.now() - countedAt < refusalLife

  const isOld = (): boolean => isShared && performance.now() - countedAt > sharedLife

  return {
    prefix,
    take: async (bytes) => {
      if (isOld() || (!hasRoom(bytes) && !isExact())) await countAgain()
      if (!hasRoom(bytes)) throw exceeded({ prefix, limit, used: estimate ?? 0, reserved, bytes })
      reserved += bytes
    },
    end: (bytes, stored) => {
      reserved -= bytes
      storedSince += stored
      if (estimate !== undefined) estimate += stored
    },
    freed: () => {
      isFreed = true
    },
  }
}

type Exceeded = {
  readonly prefix: string
  readonly limit: number
  readonly used: number
  readonly reserved: number
  readonly bytes: number
}

function exceeded({ prefix, limit, used, reserved, bytes }: Exceeded): RegistryError {
  const where = prefix === '' ? 'all hosted repositories' : `${prefix}/**`
  return new RegistryError('DENIED', {
    message: `the quota of ${where} is exceeded: ${text(bytes)} more do not fit; ${text(used)} of ${text(limit)} are used, and ${text(reserved)} reserved by other pushes`,
    advice: 'delete images that are not needed, or raise hosted[].quota',
  })
}

function text(bytes: number): string {
  if (bytes < mebibyte) return `${bytes} bytes`
  return `${Math.ceil(bytes / mebibyte).toLocaleString('en')} MiB`
}
