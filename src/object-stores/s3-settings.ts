import type { S3Client } from '@aws-sdk/client-s3'
import type { BucketSettings } from '../store/store.ts'
import { readS3Failure } from './s3-failures.ts'

export async function readSettings(s3: S3Client, Bucket: string): Promise<BucketSettings> {
  const sdk = await import('@aws-sdk/client-s3')
  const { Status } = await s3.send(new sdk.GetBucketVersioningCommand({ Bucket }))
  const lifecycle = s3.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket }))
  const { Rules = [] } = await lifecycle.catch((error: unknown) => {
    if (readS3Failure(error).code === 'NoSuchLifecycleConfiguration') return { Rules: [] }
    throw error
  })
  return {
    isVersioned: Status === 'Enabled',
    rules: Rules.filter((rule) => rule.Status === 'Enabled').map((rule) => ({
      prefix: rule.Filter?.Prefix ?? rule.Filter?.And?.Prefix ?? rule.Prefix ?? '',
      abortsUploads: rule.AbortIncompleteMultipartUpload !== undefined,
      expiresObjects:
        rule.Expiration?.Days !== undefined &&
        rule.Filter?.Tag === undefined &&
        rule.Filter?.And?.Tags === undefined,
    })),
  }
}
