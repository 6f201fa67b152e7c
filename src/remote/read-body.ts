import type { Release, Reservations } from '../memory/memory.ts'
import { bytesIn } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { UpstreamFailure } from './faults.ts'
import type { Answer } from './transport.ts'

/** How long a short answer may take after its headers, in milliseconds. */
const defaultMaxTime = 20_000

type ReadOptions = {
  readonly maxTime?: number
  /** What a body that may be long takes its memory from. */
  readonly memory?: Reservations
}

/** A body is there twice, while its pieces become one. */
const copies = 2

/**
 * The whole body of an answer that must be short, in bytes, and there in time, in milliseconds.
 * @throws RegistryError SIZE_INVALID (502) when it is longer, UNAVAILABLE when it takes longer (504) or
 * there is no memory for it (503): reading stops there.
 */
export async function readBody(
  answer: Answer,
  limit: number,
  { maxTime = defaultMaxTime, memory }: ReadOptions = {},
): Promise<Buffer> {
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    answer.drop()
  }, maxTime)
  try {
    const bytes = await collect(answer, limit, memory)
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

async function collect(
  answer: Answer,
  limit: number,
  memory: Reservations | undefined,
): Promise<Buffer> {
  const releases: Release[] = []
  try {
    return await collectChunks(answer, limit, (bytes) => {
      const release = memory?.reserve(copies * bytes)
      if (memory !== undefined && release === undefined) throw outOfMemory()
      if (release !== undefined) releases.push(release)
    })
  } finally {
    for (const release of releases) release()
  }
}

export function outOfMemory(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'too many answers of upstreams are being read at once; try again',
    retryAfter: 1,
  })
}

async function collectChunks(
  answer: Answer,
  limit: number,
  reserve: (bytes: number) => void,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const batch of answer.body) {
    size += bytesIn(batch)
    if (size > limit) {
      throw new RegistryError('SIZE_INVALID', {
        message: `the upstream's answer is longer than ${limit} bytes`,
        status: 502,
      })
    }
    reserve(bytesIn(batch))
    chunks.push(...batch)
  }
  return Buffer.concat(chunks, size)
}
