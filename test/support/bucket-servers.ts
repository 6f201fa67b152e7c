import { createGcsStore, createS3Store } from '../../src/object-stores/object-stores.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import type { Bucket as OpenBucket } from '../../src/store/store.ts'
import { setAwsEnvironment } from './aws.ts'
import { startFakeGcs } from './fake-gcs.ts'
import type { Fault } from './faulty-proxy.ts'
import { startSeaweedFs } from './seaweedfs.ts'
import { watchedTelemetry } from './telemetry.ts'

/** A server with an empty bucket. */
export interface Bucket {
  readonly url: string
  /** Environment variables with its credentials. */
  readonly keys: Readonly<Record<string, string>>
  /** The `bucket` of a configuration, at this URL: its own, or that of a proxy. */
  configAt(url: string): { readonly type: string; readonly name: string; readonly endpoint: string }
  open(): Promise<OpenBucket>
  /** With all that is in it. */
  deleteBucket(): Promise<void>
  createBucket(): Promise<void>
  /** Distribution's driver for it; see startDockerRegistry. */
  distribution(rootdirectory: string): {
    readonly storage: Readonly<Record<string, unknown>>
    readonly environment?: Readonly<Record<string, string>>
  }
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
    distribution: (rootdirectory) => ({
      storage: {
        delete: { enabled: true },
        s3: {
          ...{ bucket: name, rootdirectory, region: 'us-east-1', regionendpoint: server.url },
          ...{ secure: false, v4auth: true, forcepathstyle: true },
          accesskey: server.keys['AWS_ACCESS_KEY_ID'],
          secretkey: server.keys['AWS_SECRET_ACCESS_KEY'],
        },
      },
    }),
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
    distribution: (rootdirectory) => ({
      storage: {
        delete: { enabled: true },
        redirect: { disable: true },
        gcs: { bucket: name, rootdirectory, keyfile: file },
      },
      environment: { STORAGE_EMULATOR_HOST: new URL(server.url).host },
    }),
  }
}

function context() {
  return { outbound: createOutbound(), telemetry: watchedTelemetry().telemetry }
}

/** What a request does: `read KEY`, `write KEY`, `list` or `delete`. `line`: its method and path. */
type Describe = (line: string) => string

const describeS3: Describe = (line) => {
  const [method, url = ''] = line.split(' ')
  const { pathname, searchParams } = new URL(url, 'http://s3')
  if (searchParams.has('delete') || method === 'DELETE') return 'delete'
  if (searchParams.has('list-type')) return 'list'
  const isRead = method === 'GET' || method === 'HEAD'
  return `${isRead ? 'read' : 'write'} ${decodeURIComponent(pathname)}`
}

const describeGcs: Describe = (line) => {
  const [method, url = ''] = line.split(' ')
  const { pathname, searchParams } = new URL(url, 'http://gcs')
  if (method === 'DELETE') return 'delete'
  if (method !== 'GET') return `write ${searchParams.get('name')}`
  return pathname.endsWith('/o') ? 'list' : `read ${decodeURIComponent(pathname)}`
}

type Refusal = 'slow down' | 'stale credentials' | 'condition' | 'denied'

const s3Refusals = {
  'slow down': [503, 'SlowDown'],
  'stale credentials': [400, 'ExpiredToken'],
  condition: [412, 'PreconditionFailed'],
  denied: [403, 'AccessDenied'],
} as const
const gcsRefusals = {
  'slow down': [429, 'rateLimitExceeded'],
  'stale credentials': [401, 'authError'],
  condition: [412, 'conditionNotMet'],
  denied: [403, 'forbidden'],
} as const

const refuseS3 = (refusal: Refusal): Fault => {
  const [status, code] = s3Refusals[refusal]
  const body = `<Error><Code>${code}</Code><Message>as asked</Message></Error>`
  return { kind: 'answer', status, body }
}

const refuseGcs = (refusal: Refusal): Fault => {
  const [code, reason] = gcsRefusals[refusal]
  const body = JSON.stringify({ error: { code, message: 'as asked', errors: [{ reason }] } })
  return { kind: 'answer', status: code, body }
}

export type BucketServer = {
  readonly name: string
  readonly startBucket: () => Promise<Bucket>
  readonly describe: Describe
  /** The answer of a store that refuses a request. */
  readonly refuse: (refusal: Refusal) => Fault
  /** It knows conditions of uploads in parts. */
  readonly hasConditionalParts: boolean
  /** Parts of an upload whose process was killed remain until somebody aborts it. */
  readonly leavesUploads: boolean
  /** Versions and programs of Distribution with a driver for it. */
  readonly distributions: readonly (readonly [string, string])[]
  /** Such a driver can upload blobs to it. */
  readonly hasUploads: boolean
  /** What the doctor says about the settings of a bucket for the cache. */
  readonly settings: readonly string[]
}

/** A real server of each API. */
export const bucketServers: readonly BucketServer[] = [
  {
    name: 'SeaweedFS',
    startBucket: startS3,
    describe: describeS3,
    refuse: refuseS3,
    hasConditionalParts: true,
    leavesUploads: true,
    distributions: [
      ['2.8', 'docker-registry'],
      ['3.1', 'registry3'],
    ],
    hasUploads: true,
    settings: ['lifecycle', 'lifecycle'],
  },
  {
    name: 'fake-gcs-server',
    startBucket: startGcs,
    describe: describeGcs,
    refuse: refuseGcs,
    hasConditionalParts: false,
    leavesUploads: false,
    // Debian's 2.8 has no driver. That of 3.1 uploads blobs to Google only, whatever the endpoint is.
    distributions: [['3.1', 'registry3']],
    hasUploads: false,
    settings: ['location', 'lifecycle'],
  },
]
