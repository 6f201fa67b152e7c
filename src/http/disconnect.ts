import type { ServerResponse } from 'node:http'
import { ClientDisconnected } from './file-range.ts'

/** Ends waits when the client closes the connection; one wait at a time. */
export interface DisconnectWatch {
  /** The result of `work`; rejects with ClientDisconnected if the connection closes first. */
  orDisconnected<Value>(work: Value | Promise<Value>): Promise<Value>
  stop(): void
}

/**
 * The danger: with `Promise.race` against one promise for the whole response, that promise keeps the
 * reactions of every race until it settles, and each reaction keeps the value of its race. A blob that
 * is streamed uncached would stay in memory, whole, for each client. So each wait has a promise of its
 * own.
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
