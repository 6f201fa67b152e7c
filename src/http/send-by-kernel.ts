import type { Socket } from 'node:net'
import { ClientDisconnected, type FileRange, fileTooShort } from './file-range.ts'
import type { Kernel } from './kernel.ts'

/** Bytes of one sendfile call, after which other clients have their turn. */
const maxCallBytes = 4 * 1024 * 1024

/**
 * Sends a file range with sendfile(2), and returns the position reached: less than the end where it is not
 * supported, as with TLS. Two dangers. These bytes bypass Node's stream, so the stream must be flushed
 * before, and nothing else may be written to the response. And the caller closes the file after this
 * settles, so this settles only after the last call has returned, also when the client disconnects.
 */
export async function sendByKernel(
  { file, position, until, onSent }: FileRange,
  kernel: Kernel,
  socket: Socket,
): Promise<number> {
  const descriptor = plainDescriptor(socket)
  const duplicate = descriptor === undefined ? undefined : kernel.duplicate(descriptor)
  if (duplicate === undefined) return position
  socket.once('close', duplicate.shutDown)
  try {
    for (let at = position; at < until; ) {
      const count = Math.min(maxCallBytes, until - at)
      const sent = await duplicate.sendfile(file, at, count)
      if (socket.destroyed) throw new ClientDisconnected()
      if (sent === 'refused') return at
      if (sent === 0) throw fileTooShort(at)
      if (sent !== 'would-block') {
        at += sent
        onSent(sent)
      }
      // Less than `count`: the send buffer is full.
      if (sent !== count) await duplicate.writable()
    }
    return until
  } finally {
    socket.off('close', duplicate.shutDown)
    duplicate.close()
  }
}

/** The descriptor of a socket without TLS: what is written there is what the client reads. */
function plainDescriptor(socket: Socket): number | undefined {
  if ('encrypted' in socket || !('_handle' in socket)) return undefined
  const handle = socket._handle
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined
}
