import { closeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import type { Rest } from '../../oci/content.ts'
import { errors, type Progress } from './messages.ts'
import { startThread, type Thread } from './thread.ts'

/** `onSent` is called with the number of bytes, about once per second. */
type Range = {
  readonly file: number
  readonly position: number
  readonly until: number
  readonly rest?: Rest | undefined
  readonly onSent: (bytes: number) => void
}

/** `sent`: up to the end of the rest, of the range, or of the file. `refused`: not supported for this file or process. */
type Ended = {
  readonly position: number
  readonly cause: 'sent' | 'disconnected' | 'refused'
}

/** A range on its way to a client. */
interface Transfer {
  /** The file must stay open until then. Rejects for errors of the file. */
  readonly ended: Promise<Ended>
  /** Closes the connection, which ends the transfer. */
  shutDown(): void
}

/** Begins to send to a socket without TLS. Undefined when the process has no descriptors left. */
export type Sendfile = (socket: number, range: Range) => Transfer | undefined

/** EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP: from a seccomp profile or a file system without support. */
const refusals: readonly number[] = [1, 13, 22, 38, 95]
const { brokenPipe, reset, notConnected, timedOut } = errors
const disconnections: readonly number[] = [brokenPipe, reset, notConnected, timedOut]
/** F_DUPFD_CLOEXEC: programs that Node starts do not inherit the descriptor. */
const duplicateCommand = 1030
/** SHUT_RDWR */
const bothDirections = 2
/** At least two, so that a slow file does not hold all; more bring nothing. */
const maxThreads = Math.min(4, Math.max(2, availableParallelism()))

/**
 * sendfile(2) through FFI: Node cannot send a file to a socket without copying it through its own memory,
 * which takes five times the CPU time. Undefined on systems other than Linux, and without the FFI library.
 */
export function createSendfile(): Sendfile | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    return bind()
  } catch {
    return undefined
  }
}

function bind(): Sendfile {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const libc = koffi.load(null)
  const fcntl = libc.func('int fcntl(int fd, int command, ...)')
  const shutdown = libc.func('int shutdown(int fd, int how)')
  const chooseThread = createThreads()

  return (socket, { file, position, until, rest, onSent }) => {
    // The danger: calls run in other threads, and Node may close its descriptor meanwhile; then the next
    // client's socket gets the number, and this client's bytes. A duplicate stays until it is closed here.
    const duplicate = Number(fcntl(socket, duplicateCommand, 'int', 0))
    if (duplicate < 0) return undefined
    let isOpen = true
    let counted = position
    const count = (progress: Progress) => {
      if (progress.position > counted) onSent(progress.position - counted)
      counted = progress.position
    }
    const run = async (): Promise<Ended> => {
      try {
        const task = { socket: duplicate, file, position, until, rest }
        const last = await chooseThread().run(task, count)
        if (last === undefined) return { position, cause: 'refused' }
        count(last)
        return parse(last)
      } finally {
        isOpen = false
        closeSync(duplicate)
      }
    }
    return {
      ended: run(),
      shutDown: () => {
        if (isOpen) shutdown(duplicate, bothDirections)
      },
    }
  }
}

function parse({ position, errno }: Progress): Ended {
  if (errno === 0) return { position, cause: 'sent' }
  if (disconnections.includes(errno)) return { position, cause: 'disconnected' }
  if (refusals.includes(errno)) return { position, cause: 'refused' }
  throw Object.assign(new Error(`sendfile failed with errno ${errno}`), { errno })
}

/** The thread with the fewest tasks; a new one while all have tasks and there are fewer than the maximum. */
function createThreads(): () => Thread {
  const threads = new Set<Thread>()
  return () => {
    const [least] = [...threads].sort((a, b) => a.load() - b.load())
    if (least !== undefined && (least.load() === 0 || threads.size === maxThreads)) return least
    const started: Thread = startThread(() => threads.delete(started))
    threads.add(started)
    return started
  }
}
