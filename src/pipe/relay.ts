import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { createConnection } from 'node:net'
import type { Readable, Writable } from 'node:stream'
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

type Streams = { readonly input: Readable; readonly output: Writable }

/** Bytes between standard input and output and a registry's socket, until one of them ends. */
export async function relay(path: string, { input, output }: Streams): Promise<void> {
  const socket = createConnection({ path, allowHalfOpen: true })
  await once(socket, 'connect')
  const ended = Promise.withResolvers<void>()
  for (const event of ['end', 'close', 'error']) socket.on(event, ended.resolve)
  output.on('error', ended.resolve)
  input.on('error', ended.resolve)
  input.pipe(socket)
  socket.pipe(output)
  await ended.promise
  socket.destroy()
  // After what was written before.
  await new Promise<void>((resolve) => output.write('', () => resolve()))
}
