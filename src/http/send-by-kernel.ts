import type { Socket } from 'node:net'
import { ClientDisconnected, type FileRange, fileTooShort } from './file-range.ts'
import type { Sendfile } from './sendfile/sendfile.ts'

/** Fewer bytes are read: passing them to another thread costs more than copying them. */
export const minBytes = 128 * 1024

/**
 * Sends a file range with sendfile(2), and returns the position reached: the end of what may follow; that of the range, if
 * the file has changed; less where it is not supported, as with TLS. Two dangers. These bytes bypass Node's stream, so the stream must be flushed
 * before, and nothing else may be written to the response. And the caller closes the file after this
 * settles, so this settles only after the last call has returned, also when the client disconnects.
 */
export async function sendByKernel(
  range: FileRange,
  sendfile: Sendfile,
  socket: Socket,
): Promise<number> {
  const { position, until } = range
  const descriptor = plainDescriptor(socket)
  if (descriptor === undefined) return position
  const transfer = sendfile(descriptor, range)
  if (transfer === undefined) return position
  socket.once('close', transfer.shutDown)
  try {
    const { position: reached, cause } = await transfer.ended
    if (socket.destroyed || cause === 'disconnected') throw new ClientDisconnected()
    if (cause === 'sent' && reached < until) throw fileTooShort(reached)
    return reached
  } finally {
    socket.off('close', transfer.shutDown)
  }
}

/** The descriptor of a socket without TLS: what is written there is what the client reads. */
function plainDescriptor(socket: Socket): number | undefined {
  if ('encrypted' in socket || !('_handle' in socket)) return undefined
  const handle = socket._handle
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined
}
