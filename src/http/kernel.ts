import { createRequire } from 'node:module'
import { limitTasks } from '../memory/memory.ts'
import { ClientDisconnected } from './file-range.ts'

/** System calls that Node does not have. */
export interface Kernel {
  /** Undefined when the process has no descriptors left. */
  duplicate(socket: number): SocketDuplicate | undefined
}

/**
 * A descriptor of our own for a socket of Node. The danger: calls run in other threads, and Node may close
 * its descriptor meanwhile; then the next client's socket gets the number, and this client's bytes. This
 * one stays until it is closed here.
 */
export interface SocketDuplicate {
  /**
   * The number of bytes sent from the file to the socket; 0 at the end of the file; `would-block` when
   * the send buffer is full; `refused` when the kernel does not support it for this file or process. The
   * file must stay open until the call returns.
   * @throws ClientDisconnected when the connection is closed; Error for other errors.
   */
  sendfile(file: number, position: number, count: number): Promise<Sent>
  /** Resolves when the send buffer has room, or the connection is closed. */
  writable(): Promise<void>
  /** Closes the connection while calls are in progress; ends the wait. */
  shutDown(): void
  /** No call may be in progress. */
  close(): void
}

type Sent = number | 'would-block' | 'refused'

const wouldBlock = 11
/** EPIPE, ECONNRESET, ENOTCONN, ETIMEDOUT. */
const connectionGone: readonly number[] = [32, 104, 107, 110]
/** EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP: from a seccomp profile or a file system without support. */
const refusals: readonly number[] = [1, 13, 22, 38, 95]
/** F_DUPFD_CLOEXEC: programs that Node starts do not inherit the descriptor. */
const duplicateCommand = 1030
/** SHUT_RDWR */
const bothDirections = 2
/** Calls at once, each in a thread of the pool (`main.ts`); koffi keeps memory for as many. */
const maxCalls = 8

/**
 * sendfile(2) through FFI: Node cannot send a file to a socket without copying it through its own memory,
 * which takes five times the CPU time. Undefined on systems other than Linux, and without the FFI library.
 */
export function loadKernel(): Kernel | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    return bind()
  } catch {
    return undefined
  }
}

function bind(): Kernel {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const libc = koffi.load(null)
  const sendfile = libc.func('int64_t sendfile64(int out, int in, void *offset, size_t count)')
  const fcntl = libc.func('int fcntl(int fd, int command, ...)')
  const shutdown = libc.func('int shutdown(int fd, int how)')
  const close = libc.func('int close(int fd)')
  const limit = limitTasks(maxCalls)

  const parse = (returned: number): Sent => {
    if (returned >= 0) return returned
    const errno = koffi.errno()
    if (errno === wouldBlock) return 'would-block'
    if (refusals.includes(errno)) return 'refused'
    if (connectionGone.includes(errno)) throw new ClientDisconnected()
    throw Object.assign(new Error(`sendfile failed with errno ${errno}`), { errno })
  }

  const duplicate = (descriptor: number): SocketDuplicate => {
    const offset = Buffer.allocUnsafeSlow(8)
    let endWait = () => {}

    const call = (file: number, position: number, count: number): Promise<Sent> =>
      new Promise((resolve, reject) => {
        offset.writeBigInt64LE(BigInt(position))
        sendfile.async(descriptor, file, offset, count, (error: unknown, returned: number) => {
          try {
            if (error) throw error
            resolve(parse(Number(returned)))
          } catch (reason) {
            reject(reason)
          }
        })
      })

    return {
      sendfile: (file, position, count) => limit(() => call(file, position, count)),
      writable: () =>
        new Promise((resolve) => {
          // The callback holds the handle, because koffi closes one that is garbage.
          const handle = koffi.node.poll(descriptor, { writable: true }, () => endWait())
          endWait = () => {
            endWait = () => {}
            handle.close()
            resolve()
          }
        }),
      shutDown: () => {
        shutdown(descriptor, bothDirections)
        endWait()
      },
      close: () => void close(descriptor),
    }
  }

  return {
    duplicate: (socket) => {
      const descriptor = Number(fcntl(socket, duplicateCommand, 'int', 0))
      return descriptor < 0 ? undefined : duplicate(descriptor)
    },
  }
}
