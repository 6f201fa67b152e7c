type Waiting = PromiseWithResolvers<void>

/** Requests to compare the whole volume. Each needs a verification that begins after it. */
export function createVerifications() {
  let requested: Waiting[] = []
  let wake = Promise.withResolvers<void>()

  return {
    request: (): Promise<void> => {
      const waiting = Promise.withResolvers<void>()
      requested.push(waiting)
      wake.resolve()
      return waiting.promise
    },
    /** Resolves with the next request. */
    next: (): Promise<void> => wake.promise,
    /** Does the work for all requests until now. If it fails, `fail` must be called. */
    serve: async (work: () => Promise<void>): Promise<void> => {
      const served = requested
      requested = []
      wake = Promise.withResolvers()
      try {
        await work()
      } catch (error) {
        requested.push(...served)
        throw error
      }
      for (const { resolve } of served) resolve()
    },
    fail: (error: unknown): void => {
      for (const { reject } of requested) reject(error)
      requested = []
      wake = Promise.withResolvers()
    },
  }
}

export type Verifications = ReturnType<typeof createVerifications>
