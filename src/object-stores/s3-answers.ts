import type { GetObjectCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import {
  type ObjectHead,
  ObjectStoreError,
  type PutResult,
  type WriteCondition,
} from '../store/store.ts'
import { readS3Failure } from './s3-failures.ts'

type Found = Pick<
  GetObjectCommandOutput,
  'ContentLength' | 'ContentRange' | 'ETag' | 'LastModified'
>

export function headOf({ ContentLength = 0, ContentRange, ETag, LastModified }: Found): ObjectHead {
  const total = Number(ContentRange?.split('/')[1])
  return {
    size: Number.isSafeInteger(total) ? total : ContentLength,
    version: ETag ?? '',
    modified: LastModified?.getTime() ?? 0,
  }
}

/** The headers of a conditional write. */
export function conditionOf(condition: WriteCondition | undefined) {
  if (condition === undefined) return {}
  return condition === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.version }
}

/** An If-Match of an object that is gone is 404. */
export async function unlessDenied(
  condition: WriteCondition | undefined,
  write: () => Promise<PutResult>,
): Promise<PutResult> {
  try {
    return await write()
  } catch (error) {
    const { status, code } = readS3Failure(error)
    if (condition === 'absent' && status === 412) return { kind: 'exists' }
    if (condition !== undefined && (status === 412 || code === 'NoSuchKey'))
      return { kind: 'conflict' }
    throw error
  }
}

/** Undefined: there is no such object. */
export async function undefinedIfAbsent<Result>(
  look: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await look()
  } catch (error) {
    const { code, status } = readS3Failure(error)
    if (code === 'NoSuchKey' || (code === 'NotFound' && status === 404)) return undefined
    throw error
  }
}

type Page = Pick<ListObjectsV2CommandOutput, 'Name' | 'IsTruncated' | 'NextContinuationToken'>

/**
 * The token of the page that follows; undefined: none does. The danger: a listing that ends too early looks as if all
 * else were deleted, and what no image seems to need is removed. So each page must say whether it is the last one.
 */
export function nextTokenOf(page: Page, token: string | undefined, what: string) {
  const { Name, IsTruncated, NextContinuationToken: next } = page
  const isListing = Name !== undefined || IsTruncated !== undefined
  const isEndless = IsTruncated && (!next || next === token)
  if (isListing && !isEndless) return IsTruncated ? next : undefined
  throw new ObjectStoreError('failed', {
    message: `cannot ${what}: ${isListing ? 'more follows, and nothing says how to ask for it' : 'the answer is no listing'}`,
    advice: 'see what answers in place of the object store',
  })
}
