import { Worker } from 'node:worker_threads'
import type { FromThread, Progress, Task, ToThread } from './messages.ts'
import { workerUrl } from './worker-url.ts'

/** A thread that sends files to sockets. */
export interface Thread {
  /** Number of tasks in progress. */
  load(): number
  /**
   * How the task ended; undefined when the thread could not be started, and nothing is sent. Calls
   * `onProgress` about once per second.
   * @throws Error when the thread ended meanwhile.
   */
  run(task: Task, onProgress: (progress: Progress) => void): Promise<Progress | undefined>
}

/** Milliseconds without a task until the thread ends: it takes 13 MB. */
const maxIdle = 60_000
const resourceLimits = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 1 }

type Running = {
  readonly onProgress: (progress: Progress) => void
  readonly resolve: (progress: Progress | undefined) => void
  readonly reject: (error: Error) => void
}

/** Calls `onEnd` when the thread takes no more tasks. */
export function startThread(onEnd: () => void): Thread {
  const running = new Map<number, Running>()
  let next = 0
  let isReady = false
  let failure = new Error('the thread that sends files has ended')

  const worker = new Worker(workerUrl(), { name: 'sendfile', execArgv: [], resourceLimits })
  const idle = setTimeout(() => {
    if (running.size > 0) return
    onEnd()
    void worker.terminate()
  }, maxIdle).unref()

  worker.on('message', (message: FromThread) => {
    if (message === 'ready') {
      isReady = true
      return
    }
    const task = running.get(message.id)
    if (!message.hasEnded) return task?.onProgress(message)
    running.delete(message.id)
    idle.refresh()
    task?.resolve(message)
  })
  worker.on('error', (error: Error) => {
    failure = error
  })
  worker.on('exit', () => {
    clearTimeout(idle)
    onEnd()
    for (const { resolve, reject } of running.values()) {
      if (isReady) reject(failure)
      else resolve(undefined)
    }
    running.clear()
  })
  // Last: a listener refs it.
  worker.unref()

  return {
    load: () => running.size,
    run: (task, onProgress) =>
      new Promise((resolve, reject) => {
        next += 1
        running.set(next, { onProgress, resolve, reject })
        worker.postMessage({ id: next, ...task } satisfies ToThread)
      }),
  }
}
