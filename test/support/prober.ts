import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** How a probe fared while it was asked again and again. */
export type Probed = {
  readonly count: number
  readonly failures: readonly string[]
  /** Of the slowest answer, in milliseconds, and how late the prober itself was at most. */
  readonly slowest: number
  readonly lag: number
}

/** Asks a URL every 100 ms, on a connection of its own each time, from another thread. */
export function startProber(url: string): { stop(): Promise<Probed> } {
  const worker = new Worker(new URL(import.meta.url), { workerData: url })
  const probed = new Promise<Probed>((resolve, reject) => {
    worker.on('message', resolve)
    worker.on('error', reject)
  })
  return {
    stop: async () => {
      worker.postMessage('stop')
      const result = await probed
      await worker.terminate()
      return result
    },
  }
}

/** In milliseconds. A kubelet waits for 1 s, which is checked when the answer has arrived. */
const maxWait = 20_000

async function probe(url: string): Promise<string | undefined> {
  const done = Promise.withResolvers<string | undefined>()
  const asking = get(url, { agent: false, timeout: maxWait }, (response) => {
    response.resume()
    response.on('close', () =>
      done.resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`),
    )
  })
  asking.on('timeout', () => asking.destroy(new Error('no answer')))
  asking.on('error', (error) => done.resolve(error.message))
  return done.promise
}

async function work(url: string): Promise<void> {
  let isOver = false
  parentPort?.on('message', () => {
    isOver = true
  })
  const failures: string[] = []
  let [count, slowest, lag] = [0, 0, 0]
  while (!isOver) {
    const began = performance.now()
    const failure = await probe(url)
    const answered = performance.now()
    count += 1
    slowest = Math.max(slowest, answered - began)
    if (failure !== undefined) failures.push(failure)
    await sleep(100)
    lag = Math.max(lag, performance.now() - answered - 100)
  }
  parentPort?.postMessage({ count, failures, slowest, lag } satisfies Probed)
}

if (!isMainThread && typeof workerData === 'string') await work(workerData)
