import type { Release, Reservations } from '../memory/memory.ts'
import { bytesIn, freeChunks } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { UpstreamFailure } from './faults.ts'
import { type Answer, lengthIn } from './transport.ts'

/** How long a short answer may take after its headers, in milliseconds. */
const defaultMaxTime = 20_000

type ReadOptions = {
  readonly maxTime?: number
  /** The memory budget for bodies that may be long. */
  readonly memory?: Reservations
}

/**
 * A body needs twice its size while its pieces are joined; a manifest again later, while it is
 * parsed.
 */
const memoryPerByte = 2

/** A whole body, and the memory that is reserved for it. */
export type ReservedBody = {
  readonly bytes: Buffer
  /** The caller calls it when no code uses the bytes any more. */
  readonly release: Release
}

/**
 * Reads the whole body of a short answer, limited in bytes and in milliseconds.
 * @throws RegistryError SIZE_INVALID (502) when it is longer, UNAVAILABLE when it takes longer
 * (504) or there is no memory for it (503): reading stops there.
 */
export async function readBody(
  answer: Answer,
  limit: number,
  options: ReadOptions = {},
): Promise<Buffer> {
  const { bytes, release } = await readReservedBody(answer, limit, options)
  release()
  return bytes
}

/** Like `readBody`, for long bodies that are processed afterwards. */
export async function readReservedBody(
  answer: Answer,
  limit: number,
  { maxTime = defaultMaxTime, memory }: ReadOptions = {},
): Promise<ReservedBody> {
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    answer.drop()
  }, maxTime)
  const reservation = createReservation(memory)
  try {
    const bytes = await collect(answer, limit, reservation)
    if (!isLate) return { bytes, release: reservation.release }
  } catch (error) {
    reservation.release()
    if (!isLate) throw error
  } finally {
    clearTimeout(timer)
  }
  reservation.release()
  throw new UpstreamFailure(
    'slow',
    `the upstream did not send its whole response within ${maxTime / 1000} s`,
    {},
  )
}

export function notEnoughMemory(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'not enough memory: too many responses of upstreams are being read; retry',
    retryAfter: 1,
  })
}

type Reservation = {
  /** Reserves memory for a body of this many bytes, or throws. */
  readonly grow: (bytes: number) => void
  readonly release: Release
}

function createReservation(memory: Reservations | undefined): Reservation {
  const releases: Release[] = []
  let held = 0
  return {
    grow: (bytes) => {
      if (memory === undefined || bytes <= held) return
      // At least doubled, so that bodies of unknown length do not all stop shortly before their
      // ends.
      const size = Math.max(bytes, 2 * held)
      const release = memory.reserve(memoryPerByte * (size - held))
      if (release === undefined) throw notEnoughMemory()
      releases.push(release)
      held = size
    },
    release: () => {
      for (const release of releases.splice(0)) release()
    },
  }
}

async function collect(answer: Answer, limit: number, reservation: Reservation): Promise<Buffer> {
  try {
    // Reserve everything at once if possible: if many reservations grow in parallel, none
    // completes.
    reservation.grow(Math.min(lengthIn(answer.header('content-length')) ?? 0, limit))
    return await collectChunks(answer, limit, reservation)
  } catch (error) {
    answer.drop()
    throw error
  }
}

async function collectChunks(
  answer: Answer,
  limit: number,
  reservation: Reservation,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const batch of answer.body) {
    size += bytesIn(batch)
    if (size > limit) {
      throw new RegistryError('SIZE_INVALID', {
        message: `the upstream's response is longer than ${limit} bytes`,
        status: 502,
      })
    }
    reservation.grow(size)
    chunks.push(...batch)
  }
  const bytes = Buffer.concat(chunks, size)
  freeChunks(chunks)
  return bytes
}
