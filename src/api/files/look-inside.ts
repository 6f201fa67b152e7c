import { ArchiveError } from '../../archive/archive.ts'
import type { Reservations } from '../../memory/memory.ts'
import { type ErrorCode, RegistryError } from '../../oci/errors.ts'

/** Each has a thread of its own, which takes most of a core. */
const maxRunning = 2
/** Bytes that one may take: paths, and what it decompresses at a time. */
const memoryOfOne = 48 * 1024 * 1024

/** For one image. An image above a limit is an error. Sizes in bytes, time in milliseconds. */
export const lookLimits = {
  entries: 200_000,
  paths: 24 * 1024 * 1024,
  contents: 24 * 1024 * 1024,
  size: 16 * 1024 * 1024 * 1024,
  time: 120_000,
} as const

/** Runs work that reads layers, if there is room for it. */
export interface LookInside {
  /** @throws RegistryError TOOMANYREQUESTS; others for what is wrong with the layers. */
  run<Result>(work: () => Promise<Result>): Promise<Result>
  /** As `run`, until the iteration ends. */
  iterate(chunks: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>
}

export function createLookInside(memory: Reservations): LookInside {
  let running = 0

  /** Returns how to end it. */
  const begin = (): (() => void) => {
    const release = running < maxRunning ? memory.reserve(memoryOfOne) : undefined
    if (release === undefined)
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'others are looking into images at this moment',
        advice: 'retry',
        retryAfter: 2,
      })
    running += 1
    return () => {
      running -= 1
      release()
    }
  }

  return {
    run: async (work) => {
      const end = begin()
      try {
        return await work()
      } catch (error) {
        throw translated(error)
      } finally {
        end()
      }
    },
    iterate: async function* (chunks) {
      const end = begin()
      try {
        yield* chunks()
      } catch (error) {
        throw translated(error)
      } finally {
        end()
      }
    },
  }
}

const faults: Readonly<Record<ArchiveError['fault'], readonly [code: ErrorCode, status: number]>> =
  {
    missing: ['BLOB_UNKNOWN', 404],
    'too-large': ['SIZE_INVALID', 413],
    invalid: ['UNSUPPORTED', 422],
    incomplete: ['UNSUPPORTED', 422],
    'not-an-image': ['UNSUPPORTED', 422],
    changed: ['UNAVAILABLE', 503],
  }

function translated(error: unknown): unknown {
  if (!(error instanceof ArchiveError)) return error
  const [code, status] = faults[error.fault]
  return new RegistryError(code, {
    status,
    message: `cannot read the layers: ${error.message}`,
    cause: error,
  })
}
