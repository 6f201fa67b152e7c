import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeSocket, type SocketName } from './socket-name.ts'

export interface PipeListener {
  close(): Promise<void>
}

/** Bytes of a socket's path (unix(7)). */
const maxPath = 107
/** Only the registry's user may connect, from the first moment. */
const umask = 0o177

/**
 * Listens on a Unix socket for `berth pipe`, or for questions of other commands. `root`: a directory that only this
 * process uses; if its path is too long for a socket, a temporary directory takes its place.
 */
export async function listenForPipes(
  root: string,
  onPipe: (bytes: Socket) => void,
  socketName: SocketName = pipeSocket,
): Promise<PipeListener> {
  const own = join(root, socketName)
  const temporary =
    Buffer.byteLength(own) > maxPath ? await mkdtemp(join(tmpdir(), 'berth-')) : undefined
  const path = temporary === undefined ? own : join(temporary, socketName)
  // Of a process that was killed.
  await rm(path, { force: true })
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    onPipe(socket)
  }).unref()
  const listening = once(server, 'listening')
  const before = process.umask(umask)
  try {
    server.listen(path)
  } finally {
    process.umask(before)
  }
  await listening
  return {
    close: async () => {
      for (const socket of open) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      if (temporary !== undefined) await rm(temporary, { recursive: true, force: true })
    },
  }
}
