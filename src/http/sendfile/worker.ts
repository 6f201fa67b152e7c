import { fstatSync } from 'node:fs'
import { createRequire } from 'node:module'
import { parentPort } from 'node:worker_threads'
import type { Rest } from '../../oci/content.ts'
import { isUnchanged } from '../../oci/file-stamp.ts'
import { errors, type FromThread, type Progress, type ToThread } from './messages.ts'

// The thread that sends files to sockets, all of its tasks in one event loop: a socket whose buffer has
// room gets one call, then the next has its turn. A client that does not read costs no call.

/** Bytes of one call. */
const maxCallBytes = 4 * 1024 * 1024
/** Milliseconds between two reports of a task. */
const reportInterval = 1000
/** IPPROTO_TCP and TCP_CORK */
const [tcpLevel, corkOption] = [6, 3]

const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
const libc = koffi.load(null)
const sendfile = libc.func('int64_t sendfile64(int out, int in, void *offset, size_t count)')
const setsockopt = libc.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32_t'])
const offset = Buffer.allocUnsafeSlow(8)
const option = Buffer.allocUnsafeSlow(4)
let running = 0

function post(message: FromThread): void {
  parentPort?.postMessage(message)
}

/** Without effect on sockets other than TCP. */
function cork(socket: number, isOn: boolean): void {
  option.writeInt32LE(isOn ? 1 : 0)
  setsockopt(socket, tcpLevel, corkOption, option, option.length)
}

/** Whether the file still has the stamp of its verification. */
function mayFollow(file: number, { stamp }: Rest): boolean {
  try {
    return isUnchanged(fstatSync(file, { bigint: true }), stamp)
  } catch {
    // Who is asked for the next bytes reports it.
    return false
  }
}

function run({ id, socket, file, position: start, until, rest }: ToThread): void {
  let position = start
  let end = until
  let reported = performance.now()
  let isCorked = false
  running += 1

  const call = (): Progress => {
    offset.writeBigInt64LE(BigInt(position))
    const sent = Number(sendfile(socket, file, offset, Math.min(maxCallBytes, end - position)))
    if (sent > 0) position += sent
    const errno = sent < 0 ? koffi.errno() : 0
    if (errno === errors.wouldBlock) return { position, hasEnded: false, errno: 0 }
    return { position, hasEnded: sent <= 0 || position === end, errno }
  }

  // The only client is woken less often when it gets whole segments only, which saves a fifth of the CPU
  // time. Clients among several have enough to read whenever they are woken; for them it costs more.
  const corkIf = (isWanted: boolean): void => {
    if (isWanted === isCorked) return
    isCorked = isWanted
    cork(socket, isCorked)
  }

  /** One call, or two where the rest begins. */
  const step = (): Progress => {
    corkIf(running === 1)
    const progress = call()
    if (rest === undefined || end !== until || position !== until) return progress
    if (!mayFollow(file, rest)) return progress
    end = rest.end
    return call()
  }

  const finish = (progress: Progress): void => {
    corkIf(false)
    running -= 1
    post({ id, ...progress })
  }

  const poll = (): void => {
    // koffi passes libuv's status first. After an error of the socket libuv polls no more.
    const handle = koffi.node.poll(socket, { writable: true }, (status: unknown) => {
      const isBroken = status !== 0
      const progress = isBroken ? { position, hasEnded: true, errno: errors.brokenPipe } : step()
      if (progress.hasEnded) {
        // First the end of the polling: after the report the descriptor is closed, and used anew. This also
        // keeps the handle, because koffi closes one that is garbage.
        handle.close()
        return finish(progress)
      }
      const now = performance.now()
      if (now < reported + reportInterval) return
      reported = now
      post({ id, ...progress })
    })
  }

  // The socket mostly has room: a short range needs no polling.
  const first = step()
  if (first.hasEnded) finish(first)
  else poll()
}

parentPort?.on('message', run)
post('ready')
