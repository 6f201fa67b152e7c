import type { Duplex } from 'node:stream'
import { discard } from './read-bytes.ts'

/**
 * Bytes in both directions, each with its end. A stream that breaks breaks the other one. Each is a socket, or a stream
 * of a tunnel, and nobody else reads it.
 */
export function joinStreams(one: Duplex, other: Duplex): void {
  follow(one, other)
  follow(other, one)
  carry(one, other)
  carry(other, one)
}

function carry(from: Duplex, to: Duplex): void {
  from.on('data', (bytes: Buffer) => {
    if (!to.write(bytes, () => discard(bytes))) from.pause()
  })
  to.on('drain', () => from.resume())
  from.on('end', () => to.end())
}

function follow(stream: Duplex, other: Duplex): void {
  stream.on('error', (error) => other.destroy(error))
  stream.on('close', () => {
    // Bytes that `stream` has not delivered, or not taken, are lost.
    if (!stream.readableEnded || !stream.writableFinished) other.destroy()
  })
}
