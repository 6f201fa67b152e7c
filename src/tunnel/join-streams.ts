import type { Duplex } from 'node:stream'

/** Bytes in both directions, each with its end. A stream that breaks breaks the other one. */
export function joinStreams(one: Duplex, other: Duplex): void {
  follow(one, other)
  follow(other, one)
  one.pipe(other)
  other.pipe(one)
}

function follow(stream: Duplex, other: Duplex): void {
  stream.on('error', (error) => other.destroy(error))
  stream.on('close', () => {
    // Bytes that `stream` has not delivered, or not taken, are lost.
    if (!stream.readableEnded || !stream.writableFinished) other.destroy()
  })
}
