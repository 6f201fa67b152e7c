import { Worker } from 'node:worker_threads'
import { DatabaseFailure } from './failure.ts'
import type { Call, Reply } from './messages.ts'
import type { Places } from './opening.ts'
import type { Operations } from './operations.ts'
import { workerUrl } from './worker-url.ts'

export { deleteDatabaseFile, inMemory } from './database-file.ts'
export { DatabaseFailure } from './failure.ts'
export type { Places } from './opening.ts'

/** Rejects with {@link DatabaseFailure}. */
export type Ask = <Name extends keyof Operations>(
  operation: Name,
  ...args: Parameters<Operations[Name]>
) => Promise<ReturnType<Operations[Name]>>

/** The database, in a thread of its own. Calls take effect in their order. */
export interface Database {
  /** Asks with a limit in milliseconds for the answer. */
  within(timeout: number): Ask
  /** Ends the thread, which may hang: then it is left behind. */
  end(): Promise<void>
}

/** Milliseconds until a thread that hangs is left behind. */
const endTimeout = 2000
/** A manifest of 4 MiB fits in. */
const resourceLimits = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 4 }

type Waiting = {
  readonly resolve: (value: never) => void
  readonly reject: (failure: DatabaseFailure) => void
}

export function startDatabase(places: Places): Database {
  const waiting = new Map<number, Waiting>()
  let next = 0
  let ended: DatabaseFailure | undefined

  const worker = new Worker(workerUrl(), {
    name: 'index',
    workerData: places,
    resourceLimits,
    // Node before 24.15 warns about node:sqlite.
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  const fail = (message: string): void => {
    ended ??= new DatabaseFailure('unavailable', message)
    for (const { reject } of waiting.values()) reject(ended)
    waiting.clear()
  }
  worker.on('message', (reply: Reply<never>) => {
    const call = waiting.get(reply.id)
    waiting.delete(reply.id)
    if ('value' in reply) call?.resolve(reply.value)
    else call?.reject(new DatabaseFailure(reply.failure.kind, reply.failure.message))
  })
  worker.on('error', (error: Error) => fail(`its thread failed: ${error.message}`))
  worker.on('exit', () => fail('its thread has ended'))

  return {
    within:
      (timeout) =>
      (operation, ...args) =>
        new Promise((resolve, reject) => {
          if (ended !== undefined) return reject(ended)
          next += 1
          const id = next
          const timer = setTimeout(() => {
            waiting.delete(id)
            reject(new DatabaseFailure('unavailable', `no answer within ${timeout / 1000} s`))
          }, timeout)
          const settle =
            <Value>(end: (value: Value) => void) =>
            (value: Value): void => {
              clearTimeout(timer)
              end(value)
            }
          waiting.set(id, { resolve: settle(resolve), reject: settle(reject) })
          const call: Call = { id, operation, args }
          worker.postMessage(call)
        }),

    end: async () => {
      const abandoned = Promise.withResolvers<void>()
      const timer = setTimeout(abandoned.resolve, endTimeout)
      fail('it is being closed')
      worker.unref()
      await Promise.race([worker.terminate(), abandoned.promise])
      clearTimeout(timer)
    },
  }
}
