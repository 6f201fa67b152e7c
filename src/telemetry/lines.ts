import type { DestinationStream } from 'pino'

/** A stream that collects what is written to it, as pino's `destination` for buffers. */
type Output = {
  write(lines: string | Buffer): void
  flush(done?: (error?: Error) => void): void
  flushSync(): void
  destroy(): void
}

/** In characters. */
const maxPending = 16 * 1024

/**
 * Passes lines on once for each turn of the event loop, as bytes: pino's `destination` copies all that it has collected for
 * each write, and encodes a text three times. Lines of the last turn are passed on when the process exits, also by an
 * exception.
 */
export function createLines(output: Output): Output & DestinationStream {
  let pending = ''
  let isScheduled = false

  const pass = (): void => {
    isScheduled = false
    if (pending === '') return
    const lines = Buffer.from(pending)
    pending = ''
    output.write(lines)
  }
  // Before the listener of `destination`, which writes what it has.
  process.prependListener('exit', pass)

  return {
    write: (line) => {
      pending += line
      if (pending.length > maxPending) pass()
      else if (!isScheduled) {
        isScheduled = true
        setImmediate(pass)
      }
    },
    flush: (done) => {
      pass()
      output.flush(done)
    },
    flushSync: () => {
      pass()
      output.flushSync()
    },
    destroy: () => {
      process.off('exit', pass)
      output.destroy()
    },
  }
}
