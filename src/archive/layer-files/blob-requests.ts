import type { LayerBlob } from './layer-blob.ts'
import type { FromThread, ToThread } from './messages.ts'

/** Bytes of a message, at least, except for the last one: a chunk from a socket is not worth a message. */
const messageSize = 256 * 1024

type Send = (message: ToThread, transfer?: ArrayBuffer[]) => void

type Request = {
  readonly controller: AbortController
  room: number
  wake: () => void
}

/** Reads the ranges of blobs that a thread asks for. */
export function createRequests(blobs: readonly LayerBlob[], send: Send) {
  const requests = new Map<number, Request>()
  const running = new Set<Promise<void>>()
  let failure: unknown

  const serve = async (message: FromThread & { kind: 'request' }, own: Request): Promise<void> => {
    const { request, blob: index, start, end } = message
    const { signal } = own.controller
    try {
      for await (const bytes of joined(blobs[index]?.read({ start, end, signal }) ?? [])) {
        while (own.room === 0 && !signal.aborted)
          await new Promise<void>((resolve) => {
            own.wake = resolve
          })
        signal.throwIfAborted()
        own.room -= 1
        send({ kind: 'chunk', request, bytes }, [bytes.buffer])
      }
      send({ kind: 'done', request })
    } catch (error) {
      if (signal.aborted) return
      failure ??= error
      send({ kind: 'broken', request })
    } finally {
      requests.delete(request)
    }
  }

  const start = (message: FromThread & { kind: 'request' }): void => {
    const own: Request = { controller: new AbortController(), room: 0, wake: () => {} }
    requests.set(message.request, own)
    const served = serve(message, own).finally(() => running.delete(served))
    running.add(served)
  }

  const cancel = (own: Request | undefined): void => {
    own?.controller.abort()
    own?.wake()
  }

  return {
    /** Whether the message is about a request. */
    take: (message: FromThread): boolean => {
      switch (message.kind) {
        case 'request':
          start(message)
          return true
        case 'more': {
          const own = requests.get(message.request)
          if (own !== undefined) own.room += 1
          own?.wake()
          return true
        }
        case 'cancel':
          cancel(requests.get(message.request))
          return true
        default:
          return false
      }
    },
    /** Why a blob could not be read, if so. */
    failure: () => failure,
    close: async (): Promise<void> => {
      for (const own of requests.values()) cancel(own)
      await Promise.allSettled(running)
    },
  }
}

/** In buffers of their own, which can be handed over to another thread. */
async function* joined(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let parts: Uint8Array[] = []
  let size = 0
  for await (const chunk of chunks) {
    // A copy: the next chunk may take its place.
    parts.push(new Uint8Array(chunk))
    size += chunk.length
    if (size < messageSize) continue
    yield join(parts, size)
    parts = []
    size = 0
  }
  if (size > 0) yield join(parts, size)
}

function join(parts: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
