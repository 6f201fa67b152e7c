import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { createConnection, type OnReadOpts, Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { pipeSocket, type SocketName } from './socket-name.ts'

/**
 * The sockets of registries that run in this container, as this user: /proc/net/unix lists the paths of all sockets
 * that listen in the network namespace. So no configuration needs to be read, which would take 30 MB.
 */
export async function findPipeSockets(
  socketName: SocketName = pipeSocket,
): Promise<readonly string[]> {
  const listed = await readFile('/proc/net/unix', 'utf8').catch(() => '')
  const paths = listed
    .split('\n')
    .flatMap((line) => /^(?:\S+\s+){7}(\/.*)$/.exec(line)?.[1] ?? [])
    .filter((path) => path.endsWith(`/${socketName}`))
  const own: string[] = []
  for (const path of new Set(paths)) {
    // Paths of other containers may be listed too, on the network of a node.
    const found = await stat(path).catch(() => undefined)
    if (found?.isSocket() && found.uid === process.getuid?.()) own.push(path)
  }
  return own
}

/** Bytes of a pipe of Linux. */
const bufferSize = 64 * 1024

/**
 * Bytes between standard input and output and a registry's socket, until one of them ends.
 * @throws Error with the code ERR_INVALID_FD_TYPE if standard input is no pipe.
 */
export async function relay(path: string): Promise<void> {
  const output = process.stdout
  const socket = createConnection({ path, allowHalfOpen: true, onread: into(() => output) })
  await once(socket, 'connect')
  try {
    const input = new Socket({ fd: 0, onread: into(() => socket) })
    socket.on('drain', () => input.resume())
    output.on('drain', () => socket.resume())
    input.on('end', () => socket.end())
    const ended = Promise.withResolvers<void>()
    for (const event of ['end', 'close', 'error']) socket.on(event, ended.resolve)
    for (const stream of [input, output]) stream.on('error', ended.resolve)
    await ended.promise
  } finally {
    socket.destroy()
  }
  // After what was written before.
  await new Promise<void>((resolve) => output.write('', () => resolve()))
}

/**
 * Reads into buffers that are used again once `to` has written them: new ones would take 60 MB of the pod's memory
 * until Node collects its garbage.
 */
function into(to: () => Writable): OnReadOpts {
  const free: Buffer[] = []
  return {
    buffer: () => free.pop() ?? Buffer.allocUnsafeSlow(bufferSize),
    callback: (length, buffer) => {
      const bytes = Buffer.from(buffer.buffer, 0, length)
      to().write(bytes, () => void free.push(Buffer.from(buffer.buffer)))
      return !to().writableNeedDrain
    },
  }
}
