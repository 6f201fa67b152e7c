import type { S3Client } from '@aws-sdk/client-s3'
import type { Attempted } from './attempts.ts'

type Unfinished = { readonly Key: string; readonly UploadId: string | undefined }

/** Uploads in parts below a prefix that began before a time, in milliseconds since the epoch. */
export async function findUnfinished(
  send: <Result>(what: Attempted, work: (s3: S3Client) => Promise<Result>) => Promise<Result>,
  of: { readonly Bucket: string; readonly Prefix: string; readonly before: number },
): Promise<readonly Unfinished[]> {
  const { Bucket, Prefix, before } = of
  const { ListMultipartUploadsCommand } = await import('@aws-sdk/client-s3')
  const found: Unfinished[] = []
  for (let next = {}; ; ) {
    const input = { Bucket, Prefix, ...next }
    const page = await send(`list unfinished uploads of ${Prefix}`, (s3) =>
      s3.send(new ListMultipartUploadsCommand(input)),
    )
    for (const { Key = '', UploadId, Initiated } of page.Uploads ?? [])
      if (Initiated !== undefined && Initiated.getTime() < before) found.push({ Key, UploadId })
    if (!page.IsTruncated) return found
    next = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
  }
}
