import type { Readable } from 'node:stream'
import type { Chunks } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'

/** How long a body may be silent, and how long it may be slow before its rate is checked, in milliseconds. */
const maxSilence = 5000
const rateWindow = 5000
/** Bytes per second. An upstream is likely to be faster. */
const minRate = 64 * 1024

/**
 * The chunks of an object. Rejects with UNAVAILABLE when the body breaks, is silent or slow, so that
 * another origin continues. Only the time spent waiting for the bucket counts, not the reader's time.
 */
export async function* readBody(
  body: Readable,
  name: string,
): AsyncGenerator<Chunks, void, undefined> {
  let [waited, received] = [0, 0]
  const chunks = body.iterator({ destroyOnReturn: true })
  const next = async (): Promise<IteratorResult<Buffer, unknown>> => {
    const timer = setTimeout(() => body.destroy(new Error('it stopped sending')), maxSilence)
    const since = performance.now()
    try {
      return await chunks.next()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : ''
      throw new RegistryError('UNAVAILABLE', {
        message: `the body of an object of ${name} broke: ${why}`,
        cause,
      })
    } finally {
      clearTimeout(timer)
      waited += performance.now() - since
    }
  }

  try {
    for (;;) {
      const { done, value } = await next()
      if (done) return
      received += value.length
      yield [value]
      if (waited > rateWindow && received / (waited / 1000) < minRate)
        throw new RegistryError('UNAVAILABLE', {
          message: `${name} sends fewer than ${minRate} bytes per second`,
        })
    }
  } finally {
    body.destroy()
  }
}
