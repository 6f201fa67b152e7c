import { bytesIn, type Chunks, freeChunks, type Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Body } from '../registry/registry.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import { collectArrivals, maxBodyMemory } from './arrivals.ts'
import { hasBody, lengthOf } from './body-length.ts'
import { createPace, type MinPace } from './body-pace.ts'
import type { Call } from './call.ts'
import { sendContinue } from './continue.ts'

/** The only readers of request bodies. No body is read before its request is authorized. */
export interface RequestBodies {
  /**
   * The body of an upload, read while it is consumed. The chunks are valid until the next ones are
   * requested. Undefined if the request has no body.
   * @throws RegistryError UNAVAILABLE: no memory for it.
   */
  stream(call: Call): Body | undefined
  /**
   * The whole body of at most `max` bytes.
   * @throws RegistryError SIZE_INVALID, status 413: it is longer; UNAVAILABLE: no memory for it.
   */
  read(call: Call, max: number): Promise<Buffer>
}

/** For uploads of hours, and for bodies that are read into memory. */
export type BodyPaces = { readonly upload: MinPace; readonly whole: MinPace }

const defaultPaces: BodyPaces = {
  upload: { bytes: 64 * 1024, time: 300_000 },
  whole: { bytes: Number.POSITIVE_INFINITY, time: 60_000 },
}

/**
 * Memory for a body that is read whole, as a multiple of its size: it is parsed and stored. A long one has thousands of
 * descriptors, each of which is looked up, leased and indexed: 50 MB for 4 MiB with 20,000 of them, as measured.
 */
const shortCopies = 2
const longCopies = 10
/** In bytes. */
const longBody = 256 * 1024

type BodiesOptions = {
  readonly memory: Reservations
  readonly metrics: Metrics
  readonly paces?: BodyPaces | undefined
}

export function createRequestBodies({
  memory,
  metrics,
  paces = defaultPaces,
}: BodiesOptions): RequestBodies {
  /** At most a half: a slow client does not keep others from theirs. */
  const memoryOf = (length: number): number =>
    Math.min((length > longBody ? longCopies : shortCopies) * length, memory.max / 2)

  /** Until the response is sent: what arrived is released by then. */
  const reserve = ({ reply }: Call, bytes: number): void => {
    const release = memory.reserve(bytes)
    if (release === undefined) throw tooManyBodies()
    reply.raw.once('close', release)
  }

  async function* arriving(call: Call, minPace: MinPace): AsyncGenerator<Chunks> {
    const { request, reply, record } = call
    sendContinue(request.raw, reply.raw)
    // The pace limits the time from here on; writing and syncing a blob may take longer than the timeout
    // of a silent connection.
    request.raw.socket.setTimeout(0)
    const arrivals = collectArrivals(request.raw)
    const pace = createPace(minPace)
    metrics.uploadBodies.inc()
    try {
      for (;;) {
        const chunks = await pace.wait(arrivals.next())
        if (chunks === undefined) return
        const size = bytesIn(chunks)
        pace.count(size)
        record.received = (record.received ?? 0) + size
        metrics.uploadBytes.inc(size)
        yield chunks
        freeChunks(chunks)
      }
    } finally {
      metrics.uploadBodies.dec()
      arrivals.stop()
      // The response came first: what is left of the body is discarded (http/unread-body).
      if (reply.raw.writableFinished) request.raw.resume()
    }
  }

  return {
    stream: (call) => {
      if (!hasBody(call.request.raw)) return undefined
      reserve(call, Math.min(lengthOf(call.request.raw) ?? maxBodyMemory, maxBodyMemory))
      const size = lengthOf(call.request.raw)
      return { size, [Symbol.asyncIterator]: () => arriving(call, paces.upload) }
    },
    read: async (call, max) => {
      const length = lengthOf(call.request.raw)
      if (length !== undefined && length > max) throw tooLarge(max)
      reserve(call, memoryOf(length ?? max))
      const parts: Buffer[] = []
      let size = 0
      for await (const chunks of arriving(call, paces.whole)) {
        size += bytesIn(chunks)
        if (size > max) throw tooLarge(max)
        parts.push(Buffer.concat(chunks))
      }
      return Buffer.concat(parts)
    },
  }
}

function tooLarge(max: number): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `the request body has more than ${max} bytes, the maximum of a manifest`,
  })
}

function tooManyBodies(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'cannot receive this now: the memory for concurrent requests is used up',
    advice: 'retry',
    retryAfter: 1,
  })
}
