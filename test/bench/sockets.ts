import koffi from 'koffi'

// A client with minimal cost, so that the server is measured: system calls by FFI, and bodies that the
// kernel discards instead of copying them (MSG_TRUNC, tcp(7)).

const libc = koffi.load(null)
const socket = libc.func('int socket(int domain, int type, int protocol)')
const connectTo = libc.func('int connect(int fd, const void *address, int length)')
const sendBytes = libc.func('int64_t send(int fd, const void *bytes, size_t length, int flags)')
const receive = libc.func('int64_t recv(int fd, void *bytes, size_t length, int flags)')
const pollAll = libc.func('int poll(_Inout_ void *entries, uint64_t count, int timeout)')
const closeFd = libc.func('int close(int fd)')

const ipv4 = 2
const stream = 1
const discard = 0x20
const doNotWait = 0x40
const noSignal = 0x4000
const readable = 1
const entrySize = 8
const largest = 4 * 1024 * 1024

/** Opens a connection to 127.0.0.1. */
export function connect(port: number): number {
  const address = Buffer.alloc(16)
  address.writeUInt16LE(ipv4, 0)
  address.writeUInt16BE(port, 2)
  address.set([127, 0, 0, 1], 4)
  const fd = Number(socket(ipv4, stream, 0))
  if (fd < 0 || Number(connectTo(fd, address, address.length)) < 0) {
    throw new Error(`cannot connect to port ${port}: error ${koffi.errno()}`)
  }
  return fd
}

export function send(fd: number, bytes: Buffer): void {
  if (Number(sendBytes(fd, bytes, bytes.length, noSignal)) !== bytes.length) {
    throw new Error(`cannot send: error ${koffi.errno()}`)
  }
}

/** Number of bytes read into `buffer`; 0 at the end; undefined if none are available. */
export function take(fd: number, buffer: Buffer): number | undefined {
  return result(Number(receive(fd, buffer, buffer.length, doNotWait)))
}

/** Number of bytes discarded, all that are available; 0 at the end; undefined if none are available. */
export function skip(fd: number): number | undefined {
  return result(Number(receive(fd, null, largest, doNotWait | discard)))
}

/** The readable ones of `fds`; waits until there is one. */
export function awaitReadable(fds: readonly number[], milliseconds: number): readonly number[] {
  const entries = Buffer.alloc(fds.length * entrySize)
  for (const [at, fd] of fds.entries()) {
    entries.writeInt32LE(fd, at * entrySize)
    entries.writeInt16LE(readable, at * entrySize + 4)
  }
  pollAll(entries, fds.length, milliseconds)
  return fds.filter((_, at) => entries.readInt16LE(at * entrySize + 6) !== 0)
}

export function close(fd: number): void {
  closeFd(fd)
}

function result(bytes: number): number | undefined {
  if (bytes >= 0) return bytes
  const error = koffi.errno()
  if (error === koffi.os.errno['EAGAIN']) return undefined
  throw new Error(`cannot receive: error ${error}`)
}
