import { createRequire } from 'node:module'
import { ClientDisconnected } from './file-range.ts'

/** System calls on the descriptors of a socket and a file. */
export interface Kernel {
  /**
   * The number of bytes sent from the file to the socket; 0 at the end of the file; `would-block` when
   * the send buffer is full; `unsupported` when the kernel does not support it for this file or process.
   * @throws ClientDisconnected when the connection is closed; Error for other errors.
   */
  sendfile(
    socket: number,
    file: number,
    position: number,
    count: number,
  ): number | 'would-block' | 'refused'
  /** Whether the byte at `position` is in the page cache: reading it does not block on a disk. */
  isResident(file: number, position: number): boolean
}

const wouldBlock = 11
/** EPIPE, ECONNRESET, ENOTCONN, ETIMEDOUT. */
const connectionGone: readonly number[] = [32, 104, 107, 110]
const notSupported = 95
/** EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP: from a seccomp profile or a file system without support. */
const refusals: readonly number[] = [1, 13, 22, 38, notSupported]
/** RWF_NOWAIT */
const noWait = 8
/** TMPFS_MAGIC */
const tmpfs = 0x01021994
/** In bytes; larger than `struct statfs` on any architecture. */
const statfsSize = 256

/**
 * sendfile(2) and preadv2(2) through FFI: Node cannot send a file to a socket without copying it through
 * its own memory, which takes five times the CPU time. Undefined on systems other than Linux, and
 * without the FFI library.
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
  const fstatfs = libc.func('int fstatfs(int file, void *result)')
  const fileSystem = Buffer.alloc(statfsSize)
  const probe = { base: Buffer.alloc(1), length: 1 }
  const offset = [0]

  return {
    sendfile: (socket, file, position, count) => {
      offset[0] = position
      const sent = Number(sendfile(socket, file, offset, count))
      if (sent >= 0) return sent
      const error = koffi.errno()
      if (error === wouldBlock) return 'would-block'
      if (refusals.includes(error)) return 'refused'
      if (connectionGone.includes(error)) throw new ClientDisconnected()
      throw Object.assign(new Error(`sendfile failed with errno ${error}`), { errno: error })
    },
    isResident: (file, position) => {
      if (preadv2(file, probe, 1, position, noWait) >= 0) return true
      // EOPNOTSUPP: NFS, FUSE, overlays, and tmpfs on old kernels have no RWF_NOWAIT. Only tmpfs never
      // blocks on a disk.
      if (koffi.errno() !== notSupported) return false
      return fstatfs(file, fileSystem) === 0 && fileSystem.readUInt32LE(0) === tmpfs
    },
  }
}
