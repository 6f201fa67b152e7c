import { connect } from 'node:net'
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { z } from 'zod'
import type { ReadOptions, SourceBlob } from '../archive/archive.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { streamMethod, unaryMethod } from './containerd-protocol.ts'
import { StoreError } from './store-error.ts'

/** One containerd. Each name space has its own images and its own view of the content. */
export interface Containerd {
  /** Of its socket. */
  readonly address: string
  namespaces(): Promise<readonly string[]>
  images(namespace: string): Promise<readonly NamedImage[]>
  /** Undefined: the name space has no such content. */
  content(namespace: string, digest: Digest): Promise<ContentInfo | undefined>
  /**
   * The bytes from `start` on, as they are; fewer if the content is shorter. Throws a StoreError
   * `incomplete` if there is no such content.
   */
  read(namespace: string, blob: SourceBlob, options?: ReadOptions): AsyncIterable<Buffer>
  /** Keeps content from the garbage collector until it is released, or for a day. */
  lease(namespace: string): Promise<Lease>
  close(): void
}

export type NamedImage = {
  /** Often `host/name:tag`; also `host/name@digest`, and the image ID for the CRI plugin. */
  readonly name: string
  readonly digest: Digest
  readonly mediaType: string
}

type ContentInfo = {
  /** Bytes. */
  readonly size: number
  readonly labels: Readonly<Record<string, string>>
}

type Part = {
  readonly namespace: string
  readonly wanted: Digest
  readonly position: number
  readonly length: number
  readonly until: AbortSignal
}

export interface Lease {
  add(digest: Digest): Promise<void>
  release(): Promise<void>
}

/** Milliseconds for a call with one response. Listing thousands of images takes a second. */
const callTimeout = 60_000
/**
 * Bytes of a content that are read with one call. The danger: @connectrpc/connect keeps all messages of a
 * stream in memory until its end (each is raced against one promise), and a layer may have many gigabytes.
 */
const maxRead = 8 * 1024 * 1024
/** Milliseconds for such a call. The reader may be slow: it sends the bytes to a registry. */
const readTimeout = 60 * 60 * 1000
const leaseTime = 24 * 60 * 60 * 1000
/** Of one message, in bytes: lists of images are one. */
const maxMessage = 64 * 1024 * 1024

const digest = z.string().refine(isDigest)
const namespacesSchema = z.object({ namespaces: z.array(z.object({ name: z.string() })) })
const imagesSchema = z.object({
  images: z.array(
    z.object({
      name: z.string(),
      target: z.object({ mediaType: z.string(), digest: z.string() }).optional(),
    }),
  ),
})
const infoSchema = z.object({
  info: z.object({
    digest,
    size: z.bigint().transform(Number),
    labels: z.array(z.object({ key: z.string(), value: z.string() })),
  }),
})
const dataSchema = z.object({ data: z.instanceof(Uint8Array) })
const leaseSchema = z.object({ lease: z.object({ id: z.string() }) })

/** Connects with the first call. */
export function createContainerd(address: string): Containerd {
  const ended = new AbortController()
  const transport = createGrpcTransport({
    baseUrl: 'http://localhost',
    nodeOptions: { createConnection: () => connect(address) },
    readMaxBytes: maxMessage,
    idleConnectionTimeoutMs: 1000,
  })

  const call = async <Result>(
    method: string,
    message: MessageInitShape<DescMessage>,
    { namespace, schema }: { readonly namespace?: string; readonly schema: z.ZodType<Result> },
  ): Promise<Result> => {
    const descriptor = unaryMethod(method)
    const headers = headersOf(namespace)
    try {
      const response = await transport.unary(
        descriptor,
        ended.signal,
        callTimeout,
        headers,
        message,
      )
      return schema.parse(response.message)
    } catch (error) {
      throw isNotFound(error) ? error : failed(address, method, error)
    }
  }

  async function* readPart({ namespace, wanted, position, length, until }: Part) {
    const request = one({ digest: wanted, offset: BigInt(position), size: BigInt(length) })
    const headers = headersOf(namespace)
    const method = streamMethod('Content.Read')
    const response = await transport.stream(method, until, readTimeout, headers, request)
    for await (const message of response.message) {
      const { data } = dataSchema.parse(message)
      yield Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    }
  }

  return {
    address,

    namespaces: async () => {
      const { namespaces } = await call('Namespaces.List', {}, { schema: namespacesSchema })
      return namespaces.map(({ name }) => name)
    },

    images: async (namespace) => {
      const { images } = await call('Images.List', {}, { namespace, schema: imagesSchema })
      return images.flatMap(({ name, target }) =>
        target !== undefined && isDigest(target.digest)
          ? [{ name, digest: target.digest, mediaType: target.mediaType }]
          : [],
      )
    },

    content: async (namespace, wanted) => {
      try {
        const found = await call(
          'Content.Info',
          { digest: wanted },
          { namespace, schema: infoSchema },
        )
        const { size, labels } = found.info
        return { size, labels: Object.fromEntries(labels.map(({ key, value }) => [key, value])) }
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    },

    async *read(namespace, { digest: wanted, size }, { start = 0, signal } = {}) {
      const until = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal])
      try {
        for (let position = start; position < size; ) {
          const before = position
          const length = Math.min(maxRead, size - position)
          for await (const data of readPart({ namespace, wanted, position, length, until })) {
            position += data.length
            yield data
          }
          if (position === before) return
        }
      } catch (error) {
        until.throwIfAborted()
        if (isNotFound(error))
          throw new StoreError('incomplete', `containerd does not have ${wanted} any more`, error)
        throw failed(address, 'Content.Read', error)
      }
    },

    lease: async (namespace) => {
      const expire = new Date(Date.now() + leaseTime).toISOString()
      const labels = [{ key: 'containerd.io/gc.expire', value: expire }]
      const id = `berth-${crypto.randomUUID()}`
      await call('Leases.Create', { id, labels }, { namespace, schema: leaseSchema })
      return {
        add: async (held) => {
          const resource = { id: held, type: 'content' }
          await call('Leases.AddResource', { id, resource }, { namespace, schema: z.unknown() })
        },
        release: async () => {
          await call('Leases.Delete', { id }, { namespace, schema: z.unknown() })
        },
      }
    },

    close: () => ended.abort(),
  }
}

/** containerd refuses calls without a name space, except those that list name spaces. */
function headersOf(namespace: string | undefined): Record<string, string> {
  return namespace === undefined ? {} : { 'containerd-namespace': namespace }
}

async function* one<Message>(message: Message): AsyncGenerator<Message> {
  yield message
}

function isNotFound(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.NotFound
}

function failed(address: string, method: string, error: unknown): StoreError {
  const why = error instanceof ConnectError ? error.rawMessage : String(error)
  return new StoreError(
    'failed',
    `containerd at ${address} does not answer ${method}: ${why}`,
    error,
  )
}
