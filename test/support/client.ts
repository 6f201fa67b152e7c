import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { algorithmOf, digestOf, isDigest } from '../../src/oci/digest.ts'

export type Reply = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Whether the body ended as its framing said it would. */
  readonly complete: boolean
}

type GetOptions = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Closes the connection after this many bytes of the body. */
  readonly hangUpAfter?: number
  /** Called with each piece of the body. */
  readonly onData?: (bytes: Buffer) => void
}

/** Content that was served as complete and is not what its digest says: no test may pass with one. */
export const wrongBodies: string[] = []

const agent = new Agent({ keepAlive: true, maxSockets: 1000 })

/** Asks, and hashes what comes: a complete 200 for a digest that has other bytes fails the suite. */
export function get(url: string, options: GetOptions = {}): Promise<Reply> {
  const { method = 'GET', headers = {}, hangUpAfter = Number.POSITIVE_INFINITY, onData } = options
  const done = Promise.withResolvers<Reply>()
  const asking = request(url, { method, headers, agent }, (response) => {
    const chunks: Buffer[] = []
    let size = 0
    const finish = () => {
      const reply = {
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks),
        complete: response.complete,
      }
      if (method === 'GET') check(url, reply)
      done.resolve(reply)
    }
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      onData?.(chunk)
      if (size >= hangUpAfter) response.destroy()
    })
    response.on('close', finish)
    response.on('error', () => {})
  })
  asking.on('error', done.reject)
  asking.end()
  return done.promise
}

/** An answer whose bytes were compared with the right ones as they came, and not kept. */
export type Compared = Pick<Reply, 'status' | 'headers' | 'complete'> & {
  /** Bytes of the body that came. */
  readonly size: number
}

type CompareOptions = Pick<GetOptions, 'hangUpAfter' | 'headers'> & {
  /** Asks for the bytes from here on. */
  readonly from?: number
  /** Called when the first bytes of the body have arrived. */
  readonly onFirst?: () => void
}

/**
 * For many clients of large blobs: the bodies are not kept in memory. Any byte that is not the
 * blob's fails the suite, whether or not the answer is complete.
 */
export function getCompared(
  url: string,
  blob: Buffer,
  options: CompareOptions = {},
): Promise<Compared> {
  const { from = 0, hangUpAfter = Number.POSITIVE_INFINITY, onFirst } = options
  const done = Promise.withResolvers<Compared>()
  const headers = { ...options.headers, ...(from > 0 && { range: `bytes=${from}-` }) }
  const asking = request(url, { headers, agent }, (response) => {
    const status = response.statusCode ?? 0
    let size = 0
    response.on('data', (chunk: Buffer) => {
      if (size === 0) onFirst?.()
      const at = from + size
      size += chunk.length
      const isContent = status === 200 || status === 206
      if (isContent && !chunk.equals(blob.subarray(at, at + chunk.length))) wrongBodies.push(url)
      if (size >= hangUpAfter) response.destroy()
    })
    response.on('close', () =>
      done.resolve({ status, headers: response.headers, size, complete: response.complete }),
    )
    response.on('error', () => {})
  })
  asking.on('error', done.reject)
  asking.end()
  return done.promise
}

/** An answer of which nothing is read yet but its headers. */
export type Paused = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Reads it to its end. */
  finish(): Promise<Reply>
  leave(): void
}

/** Asks, and stops reading behind the headers: the sender soon can send no more. */
export function getPaused(url: string): Promise<Paused> {
  const answered = Promise.withResolvers<Paused>()
  const asking = request(url, { agent: false }, (response) => {
    const { statusCode: status = 0, headers } = response
    const finish = async (): Promise<Reply> => {
      const chunks: Buffer[] = []
      const closed = Promise.withResolvers<void>()
      response.on('close', closed.resolve)
      response.on('error', () => {})
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      await closed.promise
      const { complete } = response
      const reply = { status, headers, body: Buffer.concat(chunks), complete }
      check(url, reply)
      return reply
    }
    answered.resolve({ status, headers, finish, leave: () => asking.destroy() })
  })
  asking.on('error', answered.reject)
  asking.end()
  return answered.promise
}

/** The code of an OCI error body. */
export function codeOf({ body }: Reply): string | undefined {
  const { errors } = JSON.parse(body.toString('utf8')) as { errors?: { code?: string }[] }
  return errors?.[0]?.code
}

function check(url: string, { status, body, complete }: Reply): void {
  const { pathname } = new URL(url)
  const digest = pathname.split('/').at(-1) ?? ''
  if (pathname.startsWith('/api/')) return
  if (status !== 200 || !complete || !isDigest(digest) || url.includes('/referrers/')) return
  if (digestOf(body, algorithmOf(digest)) !== digest) wrongBodies.push(url)
}
