import { z } from 'zod'
import type { ListedObject, ObjectHead, PutResult, WriteCondition } from '../store/store.ts'
import { GcsError, type GcsResponse } from './gcs-requests.ts'

const resource = z.looseObject({
  name: z.string().default(''),
  size: z.coerce.number().default(0),
  generation: z.coerce.string().default(''),
  timeCreated: z.string().default(''),
})
const page = z.looseObject({
  items: z.array(resource).default([]),
  prefixes: z.array(z.string()).default([]),
  nextPageToken: z.string().optional(),
})

/** Of these, the metadata of an object. */
export const headFields = 'size,generation,timeCreated'

/** Metadata, as JSON. Its date is in whole seconds, as in headers. */
export function headIn(json: Buffer): ObjectHead {
  const head = headOf(resource.parse(JSON.parse(json.toString())))
  return { ...head, modified: Math.floor(head.modified / 1000) * 1000 }
}

export function pageIn(json: Buffer) {
  const { items, prefixes, nextPageToken } = page.parse(JSON.parse(json.toString()))
  const objects: ListedObject[] = items.map((item) => ({ key: item.name, ...headOf(item) }))
  return { objects, prefixes, nextPageToken }
}

function headOf({ size, generation, timeCreated }: z.infer<typeof resource>): ObjectHead {
  return { size, version: generation, modified: Date.parse(timeCreated) || 0 }
}

/** Of an object's bytes. Google does not say when it was written: then that is 0. */
export function headOfBytes({ headers }: Pick<GcsResponse, 'headers'>): ObjectHead {
  const size = headers['content-range']?.split('/')[1] ?? headers['content-length']
  return {
    size: Number(size ?? 0),
    version: headers['x-goog-generation'] ?? '',
    modified: Date.parse(headers['last-modified'] ?? '') || 0,
  }
}

/** The parameters of a conditional write; no object has the generation 0. */
export function conditionOf(condition: WriteCondition | undefined): Record<string, string> {
  if (condition === undefined) return {}
  return { ifGenerationMatch: condition === 'absent' ? '0' : condition.version }
}

export async function unlessDenied<Result>(
  condition: WriteCondition | undefined,
  write: () => Promise<Result>,
): Promise<Result | PutResult> {
  try {
    return await write()
  } catch (error) {
    if (!(error instanceof GcsError) || error.status !== 412) throw error
    return { kind: condition === 'absent' ? 'exists' : 'conflict' }
  }
}

/**
 * Undefined: there is no such object. An answer that may be about the bucket as well counts only if `assertBucket`
 * resolves.
 */
export async function undefinedIfAbsent<Result>(
  look: () => Promise<Result>,
  assertBucket: () => Promise<unknown>,
): Promise<Result | undefined> {
  try {
    return await look()
  } catch (error) {
    if (!(error instanceof GcsError) || error.status !== 404 || error.failure.failure === 'gone')
      throw error
    if (!/no such object/i.test(error.message)) await assertBucket()
    return undefined
  }
}
