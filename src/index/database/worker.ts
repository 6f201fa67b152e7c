import { parentPort, workerData } from 'node:worker_threads'
import { failureOf } from './failure.ts'
import type { Call, Reply } from './messages.ts'
import { createOperations } from './operations.ts'

// The thread that owns the database: answers one call after the other.

const operations = createOperations(workerData)

parentPort?.on('message', ({ id, operation, args }: Call) => {
  parentPort?.postMessage(reply(id, operation, args))
})

function reply(id: number, operation: Call['operation'], args: Call['args']): Reply<unknown> {
  try {
    return { id, value: Reflect.apply(operations[operation], undefined, args) }
  } catch (error) {
    const { kind, message } = failureOf(error)
    return { id, failure: { kind, message } }
  }
}
