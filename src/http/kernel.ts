import { createRequire } from 'node:module'
import { ClientDisconnected } from './file-range.ts'

/** What the kernel does for us, on a socket and a file by their descriptors. */
export interface Kernel {
  /**
   * Bytes that went from the file to the socket; 0 at the file's end; `would-block` when the socket
   * takes none now; `refused` when the kernel does not do it, for this file or for this process.
   * @throws ClientGone when nobody takes any more, Error for all else.
   */
  sendfile(
    socket: number,
    file: number,
    position: number,
    count: number,
  ): number | 'would-block' | 'refused'
  /** Whether the byte at `position` can certainly be read without waiting for a disk. */
  isResident(file: number, position: number): boolean
}

const wouldBlock = 11
/** EPIPE, ECONNRESET, ENOTCONN, ETIMEDOUT. */
const connectionGone: readonly number[] = [32, 104, 107, 110]
const notSupported = 95
/** EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP: of a seccomp profile, or of a file system without it. */
const refusals: readonly number[] = [1, 13, 22, 38, notSupported]
/** RWF_NOWAIT */
const noWait = 8
/** TMPFS_MAGIC */
const tmpfs = 0x01021994
/** More than a `struct statfs` has on any architecture, in bytes. */
const statfsSize = 256

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
      throw Object.assign(new Error(`sendfile failed with error ${error}`), { errno: error })
    },
    isResident: (file, position) => {
      if (preadv2(file, probe, 1, position, noWait) >= 0) return true
      // NFS, FUSE and overlays do not know the question either, but have a disk to wait for: of those
      // that do not (tmpfs on old kernels), tmpfs alone has none.
      if (koffi.errno() !== notSupported) return false
      return fstatfs(file, fileSystem) === 0 && fileSystem.readUInt32LE(0) === tmpfs
    },
  }
}
