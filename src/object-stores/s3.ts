import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import type { CredentialsOptions } from '../credentials/credentials.ts'
import type { Outbound } from '../outbound/outbound.ts'
import {
  type Bucket,
  type ObjectHead,
  type ObjectStore,
  ObjectStoreError,
  type PutResult,
  type WriteCondition,
} from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { type Attempted, createAttempts, probeKeyBelow } from './attempts.ts'
import { maxWhole, partsOf, readPart } from './parts.ts'
import { conditionOf, headOf, nextTokenOf, undefinedIfAbsent, unlessDenied } from './s3-answers.ts'
import { createS3Clients } from './s3-clients.ts'
import { readS3Failure } from './s3-failures.ts'
import { createS3Handler } from './s3-handler.ts'
import { readSettings } from './s3-settings.ts'
import { findUnfinished } from './s3-unfinished.ts'

type S3Options = {
  readonly bucket: string
  /** Path in front of all keys. */
  readonly prefix?: string | undefined
  readonly region?: string | undefined
  /** URL of a store other than Amazon's. */
  readonly endpoint?: string | undefined
  /** The bucket in the path of URLs instead of their host. */
  readonly pathStyle?: boolean | undefined
  /** A section of AWS's configuration files. */
  readonly profile?: string | undefined
  readonly certificateAuthorities?: string | undefined
  readonly ambient?: Extract<CredentialsOptions, { type: 'aws' }>['ambient']
}

type Context = { readonly outbound: Outbound; readonly telemetry: Telemetry }

/** In milliseconds. */
const connectTimeout = 5000
/** No object has it. */
const noVersion = { version: '"berth"' }
const defaultRegion = 'us-east-1'
/** Keys of one DeleteObjects. */
const maxDeleted = 1000

/** Amazon S3, or a store with its API. */
export async function createS3Store(options: S3Options, context: Context): Promise<Bucket> {
  const { bucket: Bucket, endpoint, certificateAuthorities, profile, ambient = {} } = options
  const { outbound, telemetry } = context
  const region = options.region ?? ambient.region ?? defaultRegion
  const sdk = await import('@aws-sdk/client-s3')
  const connections = outbound.open({ timeout: connectTimeout, certificateAuthorities })
  const name = `s3://${Bucket}`
  const clients = await createS3Clients({
    settings: {
      region,
      ...(endpoint !== undefined && { endpoint }),
      forcePathStyle: options.pathStyle ?? endpoint !== undefined,
      // Others than Amazon do not know its newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: createS3Handler(connections),
      maxAttempts: 1,
    },
    keys: { region, profile, ambient, route: { outbound, certificateAuthorities } },
  })
  const probeKey = probeKeyBelow(options.prefix)
  const attempts = createAttempts({
    name,
    origin: endpoint ?? `https://s3.${region}.amazonaws.com`,
    classify: readS3Failure,
    probes: {
      read: () => clients.use((s3) => find(s3, probeKey)),
      write: () => clients.use((s3) => writeNothing(s3)),
    },
    readKeysAgain: clients.readAgain,
    telemetry,
  })

  /** By its first byte: the answer to HEAD has no body, so it does not say whether the object is absent or the bucket. */
  const find = (s3: S3Client, Key: string): Promise<ObjectHead | undefined> =>
    undefinedIfAbsent(async () => {
      const object = { Bucket, Key }
      try {
        const found = await s3.send(new sdk.GetObjectCommand({ ...object, Range: 'bytes=0-0' }))
        await found.Body?.transformToByteArray()
        return headOf(found)
      } catch (error) {
        const { status, code } = readS3Failure(error)
        // It is there: empty, or archived.
        if (status !== 416 && code !== 'InvalidObjectState') throw error
        return headOf(await s3.send(new sdk.HeadObjectCommand(object)))
      }
    })

  const writeNothing = (s3: S3Client): Promise<PutResult> =>
    unlessDenied(noVersion, async () => {
      const input = { Bucket, Key: probeKey, Body: Buffer.alloc(0), ...conditionOf(noVersion) }
      await s3.send(new sdk.PutObjectCommand(input))
      return { kind: 'conflict' }
    })

  const send = <Result>(
    what: Attempted,
    work: (client: S3Client) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> => attempts.run(what, () => clients.use(work), signal)

  const putWhole = (
    key: string,
    Body: Buffer,
    condition?: WriteCondition,
    signal?: AbortSignal,
  ): Promise<PutResult> =>
    send(
      `write ${key}`,
      (s3) =>
        unlessDenied(condition, async () => {
          const input = { Bucket, Key: key, Body, ...conditionOf(condition) }
          const { ETag } = await s3.send(new sdk.PutObjectCommand(input), abortedBy(signal))
          return { kind: 'created', version: ETag ?? '' }
        }),
      signal,
    )

  /** The parts of an upload that failed cost money until they are aborted. */
  const putParts = async (
    key: string,
    { path, size }: { readonly path: string; readonly size: number },
    condition?: WriteCondition,
    signal?: AbortSignal,
  ): Promise<PutResult> => {
    const what = `write ${key}` as const
    const { UploadId } = await send(what, (s3) =>
      s3.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key: key })),
    )
    const upload = { Bucket, Key: key, UploadId }
    try {
      const Parts: { ETag: string | undefined; PartNumber: number }[] = []
      for (const part of partsOf(size)) {
        const PartNumber = Parts.length + 1
        const Body = await readPart(path, part)
        const input = { ...upload, PartNumber, Body }
        const { ETag } = await send(
          what,
          (s3) => s3.send(new sdk.UploadPartCommand(input), abortedBy(signal)),
          signal,
        )
        Parts.push({ ETag, PartNumber })
      }
      const input = { ...upload, MultipartUpload: { Parts }, ...conditionOf(condition) }
      const result = await send(what, (s3) =>
        unlessDenied(condition, async () => {
          const { ETag } = await s3.send(new sdk.CompleteMultipartUploadCommand(input))
          return { kind: 'created', version: ETag ?? '' }
        }),
      )
      if (result.kind !== 'created') await abort(key, upload)
      return result
    } catch (error) {
      await abort(key, upload)
      throw error
    }
  }

  const abort = async (
    key: string,
    upload: { Bucket: string; Key: string; UploadId: string | undefined },
  ): Promise<void> => {
    await send(`abort the upload of ${key}`, (s3) =>
      s3.send(new sdk.AbortMultipartUploadCommand(upload)),
    ).catch((error: unknown) => {
      telemetry.log.warn(
        { bucket: name, key, err: error },
        'unfinished upload remains in the bucket',
      )
    })
  }

  const get: ObjectStore['get'] = (key, { range, signal } = {}) =>
    send(
      `read ${key}`,
      (s3) =>
        undefinedIfAbsent(async () => {
          const Range = range && `bytes=${range.from}-${range.to === undefined ? '' : range.to - 1}`
          const found = await s3.send(
            new sdk.GetObjectCommand({ Bucket, Key: key, Range }),
            abortedBy(signal),
          )
          return { ...headOf(found), body: found.Body as Readable }
        }),
      signal,
    )

  const head: ObjectStore['head'] = (key) => send(`find ${key}`, (s3) => find(s3, key))

  return {
    name,
    get,

    read: (key) =>
      send(`read ${key}`, (s3) =>
        undefinedIfAbsent(async () => {
          const found = await s3.send(new sdk.GetObjectCommand({ Bucket, Key: key }))
          const bytes = Buffer.from((await found.Body?.transformToByteArray()) ?? [])
          return { bytes, head: headOf(found) }
        }),
      ),

    head,

    put: async (key, source, condition, signal) => {
      if (Buffer.isBuffer(source)) return putWhole(key, source, condition, signal)
      if (source.size > maxWhole) return putParts(key, source, condition, signal)
      const bytes = await readPart(source.path, { from: 0, to: source.size })
      return putWhole(key, bytes, condition, signal)
    },

    delete: async (keys) => {
      for (let at = 0; at < keys.length; at += maxDeleted) {
        const Objects = keys.slice(at, at + maxDeleted).map((Key) => ({ Key }))
        const input = { Bucket, Delete: { Objects, Quiet: true } }
        const what: Attempted = `delete ${Objects.length === 1 ? Objects[0]?.Key : `${Objects.length} objects`}`
        const { Errors = [] } = await send(what, (s3) =>
          s3.send(new sdk.DeleteObjectsCommand(input)),
        )
        const [first] = Errors.filter(({ Code }) => Code !== 'NoSuchKey')
        if (first !== undefined)
          throw new ObjectStoreError(first.Code === 'AccessDenied' ? 'denied' : 'failed', {
            message: `cannot delete ${first.Key} in ${name}: ${first.Code}: ${first.Message}`,
          })
      }
    },

    list: async function* (prefix, { after, delimiter } = {}) {
      let token: string | undefined
      do {
        const page = await send(`list ${prefix}`, (s3) =>
          s3.send(
            new sdk.ListObjectsV2Command({
              Bucket,
              Prefix: prefix,
              StartAfter: after,
              Delimiter: delimiter,
              ContinuationToken: token,
            }),
          ),
        )
        token = nextTokenOf(page, token, `list ${prefix} in ${name}`)
        yield {
          objects: (page.Contents ?? []).map(({ Key = '', Size = 0, ETag, LastModified }) => ({
            key: Key,
            size: Size,
            version: ETag ?? '',
            modified: LastModified?.getTime() ?? 0,
          })),
          prefixes: (page.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix),
        }
      } while (token !== undefined)
    },

    abortUploads: async (Prefix, before) => {
      const unfinished = await findUnfinished(send, { Bucket, Prefix, before })
      for (const { Key, UploadId } of unfinished) await abort(Key, { Bucket, Key, UploadId })
      return unfinished.length
    },

    sign: async (Key, expiresIn) => {
      const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner')
      return getSignedUrl(clients.current(), new sdk.GetObjectCommand({ Bucket, Key }), {
        expiresIn,
      })
    },
    settings: () => send('inspect the settings', (s3) => readSettings(s3, Bucket)),
    settingsPermission: 's3:GetBucketVersioning and s3:GetLifecycleConfiguration',
    problem: attempts.problem,
    close: async () => {
      clients.current().destroy()
      await connections.destroy()
      await attempts.close()
    },
  }
}

function abortedBy(signal: AbortSignal | undefined) {
  return signal && { abortSignal: signal }
}
