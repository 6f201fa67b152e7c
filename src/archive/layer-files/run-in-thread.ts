import { Worker } from 'node:worker_threads'
import { ArchiveError } from '../archive-error.ts'
import { createRequests } from './blob-requests.ts'
import type { BlobDescription, LayerBlob } from './layer-blob.ts'
import type { LayerLimits } from './layer-limits.ts'
import type { FromThread, Task, ToThread, Work } from './messages.ts'
import { workerUrl } from './worker-url.ts'

type RunOptions = {
  readonly limits: LayerLimits
  readonly signal?: AbortSignal | undefined
}

type Running = RunOptions & { readonly task: Task; readonly blobs: readonly LayerBlob[] }

/** Of the thread's heap: 300,000 paths take about 300 MB. */
const maxHeap = 768

/**
 * Runs a task in a thread of its own, which is ended whatever happens. Layers are hostile: what they cost
 * (time, memory, decompression) must not hold up this thread, and must have an end.
 *
 * 1. The thread asks for ranges of blobs; this one reads them and sends chunks, as many as the thread asks for.
 * 2. The thread sends results, as many as the reader takes.
 * @throws ArchiveError; what reading a blob throws; the reason of `signal`.
 */
export async function* runInThread<Result>(running: Running): AsyncGenerator<Result> {
  const { task, blobs, limits, signal } = running
  signal?.throwIfAborted()
  const workerData: Work = { task, limits, blobs: blobs.map(describe) }
  const worker = new Worker(workerUrl(), {
    name: 'layers',
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: maxHeap, maxYoungGenerationSizeMb: 16 },
    execArgv: [],
  })
  const send = (message: ToThread, transfer: ArrayBuffer[] = []) =>
    worker.postMessage(message, transfer)
  const requests = createRequests(blobs, send)
  const events = createEvents<Result>(worker, requests.take)
  try {
    while (true) {
      const message = await events.next(limits.time, signal)
      if (message.kind === 'end') return
      if (message.kind === 'failed') throw requests.failure() ?? failureOf(message)
      if (message.kind !== 'result') continue
      yield message.result
      send({ kind: 'next' })
    }
  } finally {
    await requests.close()
    await worker.terminate()
  }
}

/** A blob may have more than its description. */
function describe({ digest, size, mediaType, annotations }: LayerBlob): BlobDescription {
  return { digest, size, mediaType, annotations }
}

function failureOf({
  fault,
  message,
}: {
  fault: ArchiveError['fault'] | undefined
  message: string
}) {
  return fault === undefined ? new Error(message) : new ArchiveError(fault, message)
}

/** The messages of the thread that `isTaken` does not take, until it ends. */
function createEvents<Result>(worker: Worker, isTaken: (message: FromThread<Result>) => boolean) {
  const messages: FromThread<Result>[] = []
  let ended: Error | undefined
  let wake = () => {}
  worker.on('message', (message: FromThread<Result>) => {
    if (isTaken(message)) return
    messages.push(message)
    wake()
  })
  const end = (error: Error) => {
    ended ??= error
    wake()
  }
  worker.on('error', (error: NodeJS.ErrnoException) =>
    end(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? outOfMemory(error) : error),
  )
  worker.on('exit', () => end(new Error('the thread that reads a layer has ended')))

  return {
    next: async (time: number, signal: AbortSignal | undefined): Promise<FromThread<Result>> => {
      const timer = setTimeout(
        () => end(new ArchiveError('too-large', `reading takes more than ${time / 1000} s`)),
        Math.min(time, maxTimer),
      )
      const abort = () => wake()
      signal?.addEventListener('abort', abort)
      try {
        while (true) {
          signal?.throwIfAborted()
          const message = messages.shift()
          if (message !== undefined) return message
          if (ended !== undefined) throw ended
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      } finally {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
    },
  }
}

const maxTimer = 2 ** 31 - 1

function outOfMemory(cause: Error): ArchiveError {
  return new ArchiveError('too-large', `reading takes more than ${maxHeap} MiB of memory`, cause)
}
