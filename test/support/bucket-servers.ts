import {
  type BucketStore,
  createGcsStore,
  createS3Store,
} from '../../src/object-stores/object-stores.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { setAwsEnvironment } from './aws.ts'
import { startFakeGcs } from './fake-gcs.ts'
import { startSeaweedFs } from './seaweedfs.ts'
import { watchedTelemetry } from './telemetry.ts'

/** A server with an empty bucket. */
export interface Bucket {
  readonly url: string
  /** Environment variables with its credentials. */
  readonly keys: Readonly<Record<string, string>>
  /** The `bucket` of a configuration, at this URL: its own, or that of a proxy. */
  configAt(url: string): { readonly type: string; readonly name: string; readonly endpoint: string }
  open(): Promise<BucketStore>
  close(): Promise<void>
}

const name = 'registry'

export async function startS3(): Promise<Bucket> {
  const server = await startSeaweedFs(name)
  const restore = setAwsEnvironment(server.keys)
  return {
    ...server,
    configAt: (endpoint) => ({ type: 's3', name, endpoint }),
    open: () => createS3Store({ bucket: name, endpoint: server.url }, context()),
    close: async () => {
      restore()
      await server.close()
    },
  }
}

async function startGcs(): Promise<Bucket> {
  const server = await startFakeGcs(name)
  const file = server.keys['GOOGLE_APPLICATION_CREDENTIALS']
  return {
    ...server,
    configAt: (endpoint) => ({ type: 'gcs', name, endpoint }),
    open: async () =>
      createGcsStore({ bucket: name, endpoint: server.url, ambient: { file } }, context()),
  }
}

function context() {
  return { outbound: createOutbound(), telemetry: watchedTelemetry().telemetry }
}

export type BucketServer = {
  readonly name: string
  readonly startBucket: () => Promise<Bucket>
  /** It knows conditions of uploads in parts. */
  readonly hasConditionalParts: boolean
}

/** A real server of each API. */
export const bucketServers: readonly BucketServer[] = [
  { name: 'SeaweedFS', startBucket: startS3, hasConditionalParts: true },
  { name: 'fake-gcs-server', startBucket: startGcs, hasConditionalParts: false },
]
