import type { ServerResponse } from 'node:http'
import { ClientGone } from './stretch.ts'

/** Tells one wait at a time that the client has left. */
export interface Departure {
  /** What `work` gives; rejects with ClientGone as soon as the connection is closed. */
  orGone<Value>(work: Value | Promise<Value>): Promise<Value>
  stop(): void
}

/**
 * The danger: `Promise.race` against one promise for the whole response looks shorter, but a promise
 * keeps the reactions of every race until it settles, and each reaction keeps the value of its race. A
 * blob that is passed through would stay in memory, whole, for each client.
 */
export function watchDeparture(response: ServerResponse): Departure {
  let leave: ((error: ClientGone) => void) | undefined
  let isGone = response.closed
  const onClose = () => {
    isGone = true
    leave?.(new ClientGone())
  }
  response.once('close', onClose)

  return {
    orGone: async (work) => {
      const result = Promise.withResolvers<Awaited<typeof work>>()
      leave = result.reject
      if (isGone) leave(new ClientGone())
      Promise.resolve(work).then(result.resolve, result.reject)
      try {
        return await result.promise
      } finally {
        leave = undefined
      }
    },
    stop: () => void response.off('close', onClose),
  }
}
