import { sizeOf } from '../oci/chunks.ts'
import { RegistryError } from '../oci/errors.ts'
import { UpstreamFailure } from './faults.ts'
import type { Answer } from './transport.ts'

/** How long a short answer may take after its headers, in milliseconds. */
const defaultMaxTime = 20_000

/**
 * The whole body of an answer that must be short, in bytes, and there in time, in milliseconds.
 * @throws RegistryError SIZE_INVALID (502) when it is longer, UNAVAILABLE (504) when it takes longer:
 * reading stops there.
 */
export async function readBody(
  answer: Answer,
  limit: number,
  maxTime = defaultMaxTime,
): Promise<Buffer> {
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    answer.drop()
  }, maxTime)
  try {
    const bytes = await collect(answer, limit)
    if (!isLate) return bytes
  } catch (error) {
    if (!isLate) throw error
  } finally {
    clearTimeout(timer)
  }
  throw new UpstreamFailure(
    'slow',
    `the upstream's answer did not arrive within ${maxTime / 1000} s`,
    {},
  )
}

async function collect(answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const batch of answer.body) {
    size += sizeOf(batch)
    if (size > limit) {
      throw new RegistryError('SIZE_INVALID', {
        message: `the upstream's answer is longer than ${limit} bytes`,
        status: 502,
      })
    }
    chunks.push(...batch)
  }
  return Buffer.concat(chunks, size)
}
