import { buffer } from 'node:stream/consumers'
import { type ObjectStore, ObjectStoreError } from '../object-store.ts'
import { discardBody } from './discard-body.ts'

/** Connections that break before reading fails. */
const maxBreaks = 3

/** All bytes of an object in one request. Undefined: there is none, or it has more than `limit` bytes. */
export async function readObject(
  objects: ObjectStore,
  key: string,
  limit: number,
): Promise<Buffer | undefined> {
  for (let breaks = 1; ; breaks += 1) {
    const found = await objects.get(key)
    if (found === undefined) return undefined
    const { size, body } = found
    if (size > limit) {
      discardBody(body)
      return undefined
    }
    try {
      const bytes = await buffer(body)
      if (bytes.length < size) throw new Error('the body ended early')
      return bytes
    } catch (cause) {
      if (breaks < maxBreaks) continue
      throw new ObjectStoreError('unreachable', {
        message: `cannot read ${key} in ${objects.name}: ${cause instanceof Error ? cause.message : ''}`,
        retryAfter: 1,
        cause,
      })
    }
  }
}
