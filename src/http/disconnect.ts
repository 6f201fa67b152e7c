import type { ServerResponse } from 'node:http'
import { ClientDisconnected } from './file-range.ts'

/** Tells one wait at a time that the client has left. */
export interface DisconnectWatch {
  /** What `work` gives; rejects with ClientGone as soon as the connection is closed. */
  orDisconnected<Value>(work: Value | Promise<Value>): Promise<Value>
  stop(): void
}

/**
 * The danger: `Promise.race` against one promise for the whole response looks shorter, but a promise
 * keeps the reactions of every race until it settles, and each reaction keeps the value of its race. A
 * blob that is passed through would stay in memory, whole, for each client.
 */
export function watchDisconnect(response: ServerResponse): DisconnectWatch {
  let rejectWait: ((error: ClientDisconnected) => void) | undefined
  let isClosed = response.closed
  const onClose = () => {
    isClosed = true
    rejectWait?.(new ClientDisconnected())
  }
  response.once('close', onClose)

  return {
    orDisconnected: async (work) => {
      const result = Promise.withResolvers<Awaited<typeof work>>()
      rejectWait = result.reject
      if (isClosed) rejectWait(new ClientDisconnected())
      Promise.resolve(work).then(result.resolve, result.reject)
      try {
        return await result.promise
      } finally {
        rejectWait = undefined
      }
    },
    stop: () => void response.off('close', onClose),
  }
}
