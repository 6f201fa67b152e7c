import { sizeOf } from '../oci/chunks.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Answer } from './transport.ts'

/**
 * The whole body of an answer that must be short, in bytes.
 * @throws RegistryError SIZE_INVALID (502) when it is longer: reading stops there.
 */
export async function readBody(answer: Answer, limit: number): Promise<Buffer> {
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
