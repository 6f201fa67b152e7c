import { createRequire } from 'node:module'
import { ClientGone } from './stretch.ts'

/** What the kernel does for us, on a socket and a file by their descriptors. */
export interface Kernel {
  /**
   * Bytes that went from the file to the socket; 0 at the file's end; undefined when the socket
   * takes none now.
   * @throws ClientGone when nobody takes any more, Error for all else.
   */
  sendfile(socket: number, file: number, position: number, count: number): number | undefined
  /** Whether the byte at `position` can be read without waiting for a disk. */
  isResident(file: number, position: number): boolean
}

const wouldBlock = 11
/** EPIPE, ECONNRESET, ENOTCONN, ETIMEDOUT. */
const connectionGone: readonly number[] = [32, 104, 107, 110]
const notSupported = 95
const noWait = 8

/**
 * sendfile(2) and preadv2(2) by FFI: Node has no call that moves a file to a socket without taking
 * it through its own memory, which costs five times the processor. Undefined where that cannot be
 * had: on other systems, and without the library.
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
  const sendfile = libc.func(
    'int64_t sendfile64(int out, int in, _Inout_ int64_t *offset, size_t count)',
  )
  const vector = koffi.struct({ base: 'void *', length: 'size_t' })
  const preadv2 = libc.func('preadv2', 'int64_t', [
    'int',
    koffi.pointer(vector),
    'int',
    'int64_t',
    'int',
  ])
  const probe = { base: Buffer.alloc(1), length: 1 }
  const offset = [0]

  return {
    sendfile: (socket, file, position, count) => {
      offset[0] = position
      const sent = Number(sendfile(socket, file, offset, count))
      if (sent >= 0) return sent
      const error = koffi.errno()
      if (error === wouldBlock) return undefined
      if (connectionGone.includes(error)) throw new ClientGone()
      throw Object.assign(new Error(`sendfile failed with error ${error}`), { errno: error })
    },
    isResident: (file, position) => {
      if (preadv2(file, probe, 1, position, noWait) >= 0) return true
      // A file system that does not know the question, such as tmpfs on old kernels, has no disk to
      // wait for.
      return koffi.errno() === notSupported
    },
  }
}
