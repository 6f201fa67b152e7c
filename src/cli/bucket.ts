import type { Ambient, Config } from '../config/config.ts'
import { createS3Store } from '../object-stores/object-stores.ts'
import type { Outbound } from '../outbound/outbound.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

type Bucket = NonNullable<Config['storage']['hosted']['bucket']>

type Context = {
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly telemetry: Telemetry
}

/** Sends no request yet. */
export function openBucket(
  { name, prefix: _prefix, type: _type, ...options }: Bucket,
  { ambient, outbound, telemetry }: Context,
) {
  return createS3Store({ ...options, bucket: name, ambient: ambient.aws }, { outbound, telemetry })
}
