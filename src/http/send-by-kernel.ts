import { readSync } from 'node:fs'
import type { Socket } from 'node:net'
import { setImmediate as yieldToEventLoop } from 'node:timers/promises'
import { freeChunks } from '../memory/memory.ts'
import { type Buffers, bufferSize } from './buffers.ts'
import {
  ClientDisconnected,
  type FileRange,
  fileTooShort,
  readInto,
  writeAll,
} from './file-range.ts'
import type { Kernel } from './kernel.ts'

/**
 * What one call hands to the kernel, and what one client gets before others have a turn, in bytes.
 */
const maxCallBytes = 1024 * 1024
const maxTurnBytes = 4 * maxCallBytes
/** What is written through Node to learn when the socket takes bytes again. */
const waitWritableBytes = 16 * 1024

/**
 * A socket's descriptor, if what is written there is what the client reads: TLS has a layer in
 * between.
 */
export function plainDescriptor(socket: Socket): number | undefined {
  if ('encrypted' in socket || !('_handle' in socket)) return undefined
  const handle = socket._handle
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined
}

type KernelOptions = {
  readonly socket: Socket
  readonly descriptor: number
  readonly kernel: Kernel
  readonly buffers: Buffers
}

/**
 * The danger: bytes go past Node's stream, so those that it still holds, such as the headers, must
 * have gone before, and it must not be asked to write anything else meanwhile. Both hold: each step
 * begins when the write before it is done, and the response is nobody else's. Node does not tell
 * when a socket can be written to; so, when the kernel takes no more, one ordinary chunk is written
 * through Node, and when that is through, so is the wait. What is not in memory is read by the
 * thread pool instead: sendfile would hold the event loop until the disk answers.
 */
export async function sendByKernel(
  { file, position, until, onSent }: FileRange,
  options: KernelOptions,
): Promise<void> {
  const { socket } = options
  if (socket.writableLength > 0) await writeAll(socket, Buffer.alloc(0))
  let turnEnd = position + maxTurnBytes
  for (let at = position; at < until; ) {
    if (socket.destroyed) throw new ClientDisconnected()
    const count = Math.min(maxCallBytes, until - at)
    const sent = await sendSome(options, file, at, count)
    at += sent
    onSent(sent)
    if (at < turnEnd) continue
    turnEnd = at + maxTurnBytes
    await yieldToEventLoop()
  }
}

/** At once where that goes, so that a client that keeps up costs no turn of the event loop. */
function sendSome(
  options: KernelOptions,
  file: number,
  position: number,
  count: number,
): number | Promise<number> {
  const { descriptor, kernel } = options
  if (!kernel.isResident(file, position + count - 1))
    return sendFromDisk(options, file, position, count)
  const sent = kernel.sendfile(descriptor, file, position, count)
  if (sent === 0) throw fileTooShort(position)
  if (sent === 'refused') return sendFromDisk(options, file, position, count)
  return sent === 'would-block'
    ? waitWritable(options, file, position, Math.min(waitWritableBytes, count))
    : sent
}

async function sendFromDisk(
  { socket, buffers }: KernelOptions,
  file: number,
  position: number,
  count: number,
): Promise<number> {
  const buffer = buffers.acquire()
  const length = await readInto(buffer, file, position, Math.min(bufferSize, count))
  await writeAll(socket, buffer.subarray(0, length))
  buffers.release(buffer)
  return length
}

async function waitWritable(
  { socket }: KernelOptions,
  file: number,
  position: number,
  count: number,
): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(count)
  const length = readSync(file, buffer, 0, count, position)
  if (length === 0) throw fileTooShort(position)
  await writeAll(socket, buffer.subarray(0, length))
  freeChunks([buffer])
  return length
}
