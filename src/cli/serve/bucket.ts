import type { Ambient, Config } from '../../config/config.ts'
import { createGcsStore, createS3Store } from '../../object-stores/object-stores.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import type { Bucket } from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'

type BucketConfig = NonNullable<Config['storage']['hosted']['bucket']>

type Context = {
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly telemetry: Telemetry
}

/** Sends no request to the bucket yet. */
export async function openBucket(
  { name, type, ...options }: BucketConfig,
  { ambient, outbound, telemetry }: Context,
): Promise<Bucket> {
  const context = { outbound, telemetry }
  if (type === 's3')
    return createS3Store({ ...options, bucket: name, ambient: ambient.aws }, context)
  const { prefix, endpoint, certificateAuthorities } = options
  const { googleCredentials: file, metadataHost, googleExecutables: executables } = ambient
  return createGcsStore(
    {
      bucket: name,
      prefix,
      endpoint,
      certificateAuthorities,
      ambient: { file, metadataHost, executables },
    },
    context,
  )
}
