import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import {
  CredentialError,
  type CredentialsOptions,
  createCredentials,
  findGoogleSigner,
} from '../credentials/credentials.ts'
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
import { createAttempts, networkFailure, probeKeyBelow } from './attempts.ts'
import {
  conditionOf,
  headFields,
  headIn,
  headOfBytes,
  pageIn,
  undefinedIfAbsent as undefinedIfMissing,
  unlessDenied,
} from './gcs-answers.ts'
import { createGcsRequests, GcsError, readBytes } from './gcs-requests.ts'
import { settingsFields, settingsIn } from './gcs-settings.ts'
import { signUrl } from './gcs-signer.ts'
import { uploadInParts } from './gcs-upload.ts'
import { maxWhole, readPart } from './parts.ts'

type GcsOptions = {
  readonly bucket: string
  /** Path in front of all keys. */
  readonly prefix?: string | undefined
  /** URL of another endpoint of Google's API, or of another store with it. */
  readonly endpoint?: string | undefined
  readonly certificateAuthorities?: string | undefined
  readonly ambient?: Pick<
    Extract<CredentialsOptions, { type: 'google' }>,
    'file' | 'metadataHost' | 'executables'
  >
}

type Context = { readonly outbound: Outbound; readonly telemetry: Telemetry }

/** In milliseconds. */
const connectTimeout = 5000
/** Requests at the same time that delete objects. */
const maxDeletions = 16
/** Signed URLs are used again for so many milliseconds: Google limits how often IAM signs. */
const signedTtl = 60_000
const maxSigned = 1000

/** Google Cloud Storage, by its JSON API. */
export function createGcsStore(options: GcsOptions, context: Context): Bucket {
  const { bucket, certificateAuthorities, ambient } = options
  const { outbound, telemetry } = context
  const { origin } = new URL(options.endpoint ?? 'https://storage.googleapis.com')
  const name = `gs://${bucket}`
  const route = { outbound, certificateAuthorities }
  const connections = outbound.open({ timeout: connectTimeout, certificateAuthorities })
  const credentials = createCredentials(
    { type: 'google', ...ambient, access: 'push', optional: false },
    { host: new URL(origin).host, upstream: name, telemetry, ...route },
  )
  const send = createGcsRequests({ origin, connections, credentials })
  const probeKey = probeKeyBelow(options.prefix)
  const attempts = createAttempts({
    name,
    origin,
    classify: (error) => (error instanceof GcsError ? error.failure : networkFailure(error)),
    probes: {
      read: () => find(probeKey),
      // No object has this generation: nothing is written.
      write: () => write(probeKey, Buffer.alloc(0), { version: '1' }),
    },
    telemetry,
  })
  const base = `/storage/v1/b/${encodeURIComponent(bucket)}`
  const pathOf = (key: string, query: Readonly<Record<string, string>>) =>
    `${base}/o/${encodeURIComponent(key)}?${new URLSearchParams(query)}`
  const uploadPath = (uploadType: string, key: string, condition: WriteCondition | undefined) =>
    `/upload${base}/o?${new URLSearchParams({ uploadType, name: key, fields: 'generation', ...conditionOf(condition) })}`

  /** An identity that may not see the settings of a bucket gets 403 only if the bucket exists. */
  const assertBucket = async (): Promise<void> => {
    const answer = await send({ path: `${base}?fields=name`, accepts: [403] })
    answer.body.resume()
  }

  const undefinedIfAbsent = <Result>(look: () => Promise<Result>) =>
    undefinedIfMissing(look, assertBucket)

  const get: ObjectStore['get'] = (key, { range, signal } = {}) =>
    attempts.run(
      `read ${key}`,
      () =>
        undefinedIfAbsent(async () => {
          const last = range?.to === undefined ? '' : range.to - 1
          const found = await send({
            path: pathOf(key, { alt: 'media' }),
            ...(range && { headers: { range: `bytes=${range.from}-${last}` } }),
            signal,
          })
          return { ...headOfBytes(found), body: found.body }
        }),
      signal,
    )

  const find = (key: string): Promise<ObjectHead | undefined> =>
    undefinedIfAbsent(async () =>
      headIn(await readBytes(await send({ path: pathOf(key, { fields: headFields }) }))),
    )

  const head: ObjectStore['head'] = (key) => attempts.run(`find ${key}`, () => find(key))

  /** The answer with the bytes may not say when they were written. */
  const read: ObjectStore['read'] = async (key) => {
    for (;;) {
      const found = await attempts.run(`read ${key}`, () =>
        undefinedIfAbsent(async () => {
          const answer = await send({ path: pathOf(key, { alt: 'media' }) })
          return { bytes: await readBytes(answer), head: headOfBytes(answer) }
        }),
      )
      if (found === undefined || found.head.modified > 0) return found
      const current = await head(key)
      if (current?.version === found.head.version) return { ...found, head: current }
    }
  }

  /** With its name in one request: metadata, and bytes. */
  const write = (
    key: string,
    bytes: Buffer,
    condition?: WriteCondition,
    signal?: AbortSignal,
  ): Promise<PutResult> =>
    unlessDenied(condition, async () => {
      const boundary = randomUUID()
      const type = 'content-type: application'
      const start = `--${boundary}\r\n${type}/json\r\n\r\n{}\r\n--${boundary}\r\n${type}/octet-stream\r\n\r\n`
      const answer = await send({
        method: 'POST',
        path: uploadPath('multipart', key, condition),
        headers: { 'content-type': `multipart/related; boundary=${boundary}` },
        body: [Buffer.from(start), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)],
        signal,
      })
      return { kind: 'created', version: headIn(await readBytes(answer)).version }
    })

  const putWhole = (
    key: string,
    bytes: Buffer,
    condition?: WriteCondition,
    signal?: AbortSignal,
  ): Promise<PutResult> =>
    attempts.run(`write ${key}`, () => write(key, bytes, condition, signal), signal)

  const signed = new LRUCache<string, Promise<string>>({ max: maxSigned, ttl: signedTtl })
  const sign = async (key: string, seconds: number): Promise<string> => {
    try {
      const signer = await findGoogleSigner({ file: ambient?.file, credentials, ...route })
      return await signUrl(signer, { origin, bucket, key, seconds, now: new Date() })
    } catch (cause) {
      if (!(cause instanceof CredentialError)) throw cause
      const { advice } = cause
      const message = `cannot sign a URL of ${key} in ${name}: ${cause.message}`
      throw new ObjectStoreError('denied', { message, advice, cause })
    }
  }

  return {
    name,
    get,
    read,
    head,

    put: async (key, source, condition, signal) => {
      if (Buffer.isBuffer(source)) return putWhole(key, source, condition, signal)
      if (source.size <= maxWhole) {
        const bytes = await readPart(source.path, { from: 0, to: source.size })
        return putWhole(key, bytes, condition, signal)
      }
      return uploadInParts({
        start: () =>
          send({
            method: 'POST',
            path: uploadPath('resumable', key, condition),
            headers: {
              'x-upload-content-type': 'application/octet-stream',
              'x-upload-content-length': String(source.size),
            },
            signal,
          }),
        send,
        attempts,
        what: `write ${key}`,
        file: source,
        condition,
        signal,
        onAbandoned: (err) =>
          telemetry.log.warn({ bucket: name, key, err }, 'unfinished upload ends in a week'),
      })
    },

    delete: async (keys) => {
      for (let at = 0; at < keys.length; at += maxDeletions)
        await Promise.all(
          keys.slice(at, at + maxDeletions).map((key) =>
            attempts.run(`delete ${key}`, async () => {
              await undefinedIfAbsent(async () => {
                const answer = await send({ method: 'DELETE', path: pathOf(key, {}) })
                answer.body.resume()
              })
            }),
          ),
        )
    },

    list: async function* (prefix, { after, delimiter } = {}) {
      let pageToken: string | undefined
      do {
        const query = {
          prefix,
          fields: `items(name,${headFields}),prefixes,nextPageToken`,
          ...(after !== undefined && { startOffset: after }),
          ...(delimiter !== undefined && { delimiter }),
          ...(pageToken !== undefined && { pageToken }),
        }
        const { objects, prefixes, nextPageToken } = await attempts.run(
          `list ${prefix}`,
          async () =>
            pageIn(
              await readBytes(await send({ path: `${base}/o?${new URLSearchParams(query)}` })),
            ),
        )
        yield { objects: objects.filter(({ key }) => key !== after), prefixes }
        pageToken = nextPageToken
      } while (pageToken !== undefined)
    },

    sign: (key, seconds) => {
      const known = signed.get(key)
      if (known !== undefined) return known
      const url = sign(key, seconds)
      signed.set(key, url)
      return url
    },
    settings: () =>
      attempts.run('inspect the settings', async () =>
        settingsIn(await readBytes(await send({ path: `${base}?fields=${settingsFields}` }))),
      ),
    settingsPermission: 'roles/storage.legacyBucketReader',
    problem: attempts.problem,
    close: async () => {
      credentials.close()
      await connections.destroy()
      await attempts.close()
    },
  }
}
