import { RegistryError } from '../../oci/errors.ts'
import { nameBelow, type RepositoryName } from '../../oci/reference.ts'
import type { HostedIndex } from './hosted-index.ts'
import { createQuota, type Quota } from './quota.ts'

/** Bytes that one push may use, counted against every quota that covers its repository. */
interface Reservation {
  /** The push needs so many bytes in all. @throws RegistryError DENIED: a quota leaves no room for them. */
  growTo(bytes: number): Promise<void>
  /** The push needs no more than so many bytes now. */
  shrinkTo(bytes: number): void
  /** The push is over, and `stored` bytes of it are on the disk. */
  end(stored: number): void
}

/** Limits for the repositories below a prefix, in bytes of different blobs. */
export interface Quotas {
  /** @throws RegistryError DENIED as above; UNAVAILABLE: what is used is not known at the moment. */
  reserve(name: RepositoryName, bytes: number): Promise<Reservation>
  /** Something was deleted: space may be free. */
  freed(name: RepositoryName): void
}

type QuotasOptions = {
  readonly prefixes: readonly { readonly prefix: string; readonly quota?: number | undefined }[]
  readonly index: HostedIndex | undefined
  /** Other replicas store as well. */
  readonly isShared: boolean
}

export function createQuotas({ prefixes, index, isShared }: QuotasOptions): Quotas {
  const quotas: readonly Quota[] = prefixes.flatMap(({ prefix, quota }) =>
    quota === undefined
      ? []
      : [createQuota({ prefix, limit: quota, used: () => used(prefix), isShared })],
  )
  const covering = (name: RepositoryName) =>
    quotas.filter(({ prefix }) => nameBelow(prefix, name) !== undefined)

  const used = async (prefix: string): Promise<number> => {
    if (index === undefined) throw unknown(prefix, new Error('there is no index'))
    try {
      return (await index.bytes(prefix)).unique
    } catch (cause) {
      throw unknown(prefix, cause)
    }
  }

  return {
    reserve: async (name, bytes) => {
      const reservation = createReservation(covering(name))
      await reservation.growTo(bytes)
      return reservation
    },
    freed: (name) => {
      for (const quota of covering(name)) quota.freed()
    },
  }
}

function unknown(prefix: string, cause: unknown): RegistryError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new RegistryError('UNAVAILABLE', {
    message: `cannot push to ${prefix} now: its quota cannot be checked: ${why}`,
    retryAfter: 5,
    cause,
  })
}

function createReservation(quotas: readonly Quota[]): Reservation {
  let reserved = 0

  const takeAll = async (bytes: number): Promise<void> => {
    const taken: Quota[] = []
    try {
      for (const quota of quotas) {
        await quota.take(bytes)
        taken.push(quota)
      }
    } catch (error) {
      for (const quota of taken) quota.end(bytes, 0)
      throw error
    }
  }

  return {
    growTo: async (bytes) => {
      if (quotas.length === 0 || bytes <= reserved) return
      await takeAll(bytes - reserved)
      reserved = bytes
    },
    shrinkTo: (bytes) => {
      if (bytes >= reserved) return
      for (const quota of quotas) quota.end(reserved - bytes, 0)
      reserved = bytes
    },
    end: (stored) => {
      for (const quota of quotas) quota.end(reserved, stored)
      reserved = 0
    },
  }
}
