import { constants, getPriority, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { ArchiveError } from '../archive-error.ts'
import { type FromThread, type ToThread, type Work, window } from './messages.ts'
import { createRequestedBlobs } from './requested-blobs.ts'
import { runTask } from './tasks.ts'

// The thread that decompresses and parses layers: one task, then it ends.

// Pulls come first. Linux changes the priority of this thread alone; elsewhere it would be that of the process.
const priority = constants.priority.PRIORITY_BELOW_NORMAL
if (process.platform === 'linux' && getPriority() < priority) setPriority(priority)

if (parentPort !== null) await work(parentPort, workerData)

async function work(port: NonNullable<typeof parentPort>, { task, blobs, limits }: Work) {
  const requested = createRequestedBlobs(port, blobs)
  let room = window
  let wake = () => {}
  port.on('message', (message: ToThread) => {
    if (message.kind !== 'next') return requested.take(message)
    room += 1
    wake()
  })
  const send = (message: FromThread, transfer: ArrayBuffer[] = []) =>
    port.postMessage(message, transfer)
  try {
    for await (const { result, transfer } of runTask(task, { blobs: requested.blobs, limits })) {
      while (room === 0)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      room -= 1
      send({ kind: 'result', result }, transfer)
    }
    send({ kind: 'end' })
  } catch (error) {
    const fault = error instanceof ArchiveError ? error.fault : undefined
    send({ kind: 'failed', fault, message: error instanceof Error ? error.message : String(error) })
  }
}
