import type { MessagePort } from 'node:worker_threads'
import type { BlobDescription, LayerBlob } from './layer-blob.ts'
import { type FromThread, type ToThread, window } from './messages.ts'

/** The other thread could not read a blob, and knows why. */
class RequestFailed extends Error {
  override readonly name = 'RequestFailed'
}

type Waiting = {
  readonly messages: ToThread[]
  wake: () => void
}

/** Blobs whose bytes come from the thread that started this one. */
export function createRequestedBlobs(port: MessagePort, descriptions: readonly BlobDescription[]) {
  const running = new Map<number, Waiting>()
  let last = 0
  const send = (message: FromThread) => port.postMessage(message)

  const read = async function* (blob: number, start: number, end: number) {
    last += 1
    const request = last
    const waiting: Waiting = { messages: [], wake: () => {} }
    running.set(request, waiting)
    send({ kind: 'request', request, blob, start, end })
    for (let at = 0; at < window; at += 1) send({ kind: 'more', request })
    let isDone = false
    try {
      while (true) {
        const message = await nextMessage(waiting)
        isDone = message.kind !== 'chunk'
        if (message.kind === 'broken') throw new RequestFailed('a blob could not be read')
        if (message.kind !== 'chunk') return
        yield message.bytes
        send({ kind: 'more', request })
      }
    } finally {
      running.delete(request)
      if (!isDone) send({ kind: 'cancel', request })
    }
  }

  const blobs = descriptions.map(
    (description, blob): LayerBlob => ({
      ...description,
      read: ({ start, end }) => read(blob, start, end),
    }),
  )
  return {
    blobs,
    take: (message: Exclude<ToThread, { readonly kind: 'next' }>): void => {
      const waiting = running.get(message.request)
      waiting?.messages.push(message)
      waiting?.wake()
    },
  }
}

async function nextMessage(waiting: Waiting): Promise<ToThread> {
  while (true) {
    const message = waiting.messages.shift()
    if (message !== undefined) return message
    await new Promise<void>((resolve) => {
      waiting.wake = resolve
    })
  }
}
