import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { Chunks, Release, Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Forwarded } from '../remote/remote.ts'

/** Bytes of a body that is kept in memory, so that it can be sent again with another token: a manifest. */
const maxKept = 4 * 1024 * 1024

type Body = { readonly open: NonNullable<Forwarded['body']>; readonly release: Release }

/**
 * The body of a client's request. A long one is read as fast as the registry takes it, and can be sent once: where the
 * registry wants another credential after all, the client has to try again.
 */
export async function readRequestBody(
  request: IncomingMessage,
  memory: Reservations,
): Promise<Body | undefined> {
  const length = request.headers['content-length']
  const isChunked = request.headers['transfer-encoding'] !== undefined
  if (request.method === 'GET' || request.method === 'HEAD') return undefined
  const size = isChunked ? undefined : Number(length ?? 0)
  if (size !== undefined && size <= maxKept) {
    const release = size === 0 ? () => {} : memory.reserve(size)
    if (release === undefined) throw busy('not enough memory for the request')
    const bytes = size === 0 ? Buffer.alloc(0) : await buffer(request)
    return { open: () => bytes, release }
  }
  let isOpen = false
  const open = () => {
    if (isOpen)
      throw busy('the registry asked for the credential again, after it had a part of the body')
    isOpen = true
    return { size, chunks: batches(request) }
  }
  return { open, release: () => {} }
}

async function* batches(request: IncomingMessage): AsyncGenerator<Chunks, void, undefined> {
  for await (const chunk of request) yield [chunk]
}

function busy(message: string): RegistryError {
  return new RegistryError('UNAVAILABLE', { message: `${message}; try again`, retryAfter: 1 })
}
