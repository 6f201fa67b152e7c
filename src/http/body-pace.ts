import { RegistryError } from '../oci/errors.ts'

/**
 * A body of hours is accepted as long as `bytes` arrive in each `time`, in milliseconds. Time that we
 * spend on writing does not count.
 */
export type MinPace = { readonly bytes: number; readonly time: number }

/** Ends waiting for a client that sends too slowly. */
export interface Pace {
  /** @throws RegistryError, status 408, when too few bytes arrived in the time. */
  wait<Value>(arrival: Promise<Value>): Promise<Value>
  /** Counts bytes that arrived. */
  count(bytes: number): void
}

export function createPace({ bytes: minBytes, time }: MinPace): Pace {
  let left = time
  let arrived = 0

  return {
    wait: async (arrival) => {
      const { promise, reject } = Promise.withResolvers<never>()
      const began = performance.now()
      const timer = setTimeout(() => reject(tooSlow(minBytes, time)), left)
      try {
        return await Promise.race([arrival, promise])
      } finally {
        clearTimeout(timer)
        left -= performance.now() - began
      }
    },
    count: (bytes) => {
      arrived += bytes
      if (arrived < minBytes) return
      arrived = 0
      left = time
    },
  }
}

function tooSlow(bytes: number, time: number): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', {
    status: 408,
    message: `the request body arrives too slowly: fewer than ${bytes} bytes in ${time / 1000} s`,
  })
}
