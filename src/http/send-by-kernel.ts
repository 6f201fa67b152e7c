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
 * Bytes of one sendfile call, and bytes for one client before other clients have their turn.
 */
const maxCallBytes = 1024 * 1024
const maxTurnBytes = 4 * maxCallBytes
/** Bytes that are written through Node to wait until the socket is writable. */
const waitWritableBytes = 16 * 1024

/**
 * The descriptor of a socket without TLS: what is written there is what the client reads. Undefined with
 * TLS.
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
 * Sends a file range with sendfile(2). The danger: these bytes bypass Node's stream, so the stream must be
 * flushed before (it may still hold the headers), and must write nothing in between. Both hold: each
 * step starts when the write before it has finished, and no other code writes to the response. Node has
 * no event for a writable socket; so, when sendfile would block, one small chunk is written through Node,
 * and its callback ends the wait. Bytes that are not in the page cache are read in the thread pool:
 * sendfile would block the event loop until the disk responds.
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

/** Synchronous where possible: a client that keeps up costs no turn of the event loop. */
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
