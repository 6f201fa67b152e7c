import { Readable } from 'node:stream'
import { z } from 'zod'
import type { Credentials } from '../credentials/credentials.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Connections } from '../outbound/outbound.ts'
import { networkFailure, type RequestFailure, timeoutsOf } from './attempts.ts'

/** Of an error's body, in bytes. */
const maxErrorBytes = 64 * 1024

type GcsRequest = {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Path and query, or the URL of an upload session: that is a secret, and needs no token. */
  readonly path: string | URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: readonly Buffer[]
  readonly signal?: AbortSignal | undefined
  /** Statuses above 299 that are answers, not errors. */
  readonly accepts?: readonly number[]
}

export type GcsResponse = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Readable
}

export class GcsError extends Error {
  readonly failure: RequestFailure
  /** Undefined: there was no answer. */
  readonly status: number | undefined

  constructor(failure: RequestFailure, status?: number) {
    super(failure.why)
    this.failure = failure
    this.status = status
  }
}

const googleSchema = z.looseObject({
  error: z.looseObject({
    message: z.string().catch(''),
    errors: z.array(z.looseObject({ reason: z.string().optional() })).catch([]),
  }),
})

export type GcsSend = (request: GcsRequest) => Promise<GcsResponse>

type RequestsOptions = {
  readonly origin: string
  readonly connections: Connections
  readonly credentials: Credentials
}

/** Sends requests with an access token, which is renewed once when the store rejects it. */
export function createGcsRequests({ origin, connections, credentials }: RequestsOptions): GcsSend {
  const dispatch = async (
    { method = 'GET', path, headers, body = [], signal }: GcsRequest,
    token: string | undefined,
  ): Promise<GcsResponse> => {
    const url = typeof path === 'string' ? new URL(origin + path) : path
    const length = body.reduce((sum, { byteLength }) => sum + byteLength, 0)
    const response = await connections.dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: {
        ...headers,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(method !== 'GET' && { 'content-length': String(length) }),
      },
      ...(length > 0 && { body: Readable.from(body) }),
      // Of one object, not of a listing.
      ...timeoutsOf(method === 'GET' && url.pathname.includes('/o/')),
      ...(signal && { signal }),
    })
    const pairs = Object.entries(response.headers).map(([name, value]) => [
      name,
      [value].flat().join(', '),
    ])
    return {
      status: response.statusCode,
      headers: Object.fromEntries(pairs),
      body: response.body,
    }
  }

  const dispatchAs = async (request: GcsRequest): Promise<GcsResponse> => {
    const credential = await credentials.current()
    const response = await dispatch(request, tokenIn(credential))
    if (response.status !== 401) return response
    const renewed = await credentials.renew(credential)
    if (renewed === credential) return response
    response.body.resume()
    return dispatch(request, tokenIn(renewed))
  }

  return async (request) => {
    const hasToken = typeof request.path === 'string'
    const response = await (hasToken ? dispatchAs(request) : dispatch(request, undefined)).catch(
      (error: unknown) => {
        throw new GcsError(isRegistryError(error) ? withoutToken(error) : networkFailure(error))
      },
    )
    if (response.status < 300 || request.accepts?.includes(response.status)) return response
    const failure = await failureOf(response, {
      identity: credentials.identity(),
      isOfBucket: typeof request.path === 'string' && !request.path.includes('/o/'),
    })
    throw new GcsError(failure, response.status)
  }
}

function tokenIn(credential: Awaited<ReturnType<Credentials['current']>>): string | undefined {
  return credential.kind === 'access-token' ? credential.token : undefined
}

/** Its message has an advice. It is not attempted again: credentials are renewed in the background. */
function withoutToken({ message }: Error): RequestFailure {
  return { failure: 'denied', why: message, canRetry: false, isUnsigned: true }
}

type Asked = {
  readonly identity: string
  /** Of no object: what is missing is the bucket. */
  readonly isOfBucket: boolean
}

async function failureOf(
  response: GcsResponse,
  { identity, isOfBucket }: Asked,
): Promise<RequestFailure> {
  const { status, headers } = response
  const text = await readBytes(response, maxErrorBytes)
  const { message, reason } = readError(text.toString())
  const why = `${status} ${reason}${reason && message && ': '}${message}`.trim().slice(0, 500)
  const retryAfter = Number(headers['retry-after'] ?? Number.NaN)
  const isSlowDown =
    status === 429 || status === 503 || (status === 403 && /rateLimitExceeded/i.test(reason))
  const shared = { why, retryAfter: Number.isFinite(retryAfter) ? retryAfter : undefined }
  if (isSlowDown) return { ...shared, failure: 'slow-down', canRetry: true }
  if (status === 404 && (isOfBucket || /bucket does not exist/i.test(message))) {
    const advice = 'create the bucket, or correct its name'
    return { ...shared, failure: 'gone', advice, canRetry: false }
  }
  if (status === 401 || status === 403) {
    const advice = `grant roles/storage.objectUser on the bucket to ${identity}`
    // Credentials are renewed once in a second.
    return { failure: 'denied', why, advice, canRetry: status === 401, retryAfter: 1 }
  }
  return { ...shared, failure: 'failed', canRetry: status === 408 || status >= 500 }
}

/** JSON, or the text alone where an object's bytes were requested. */
function readError(text: string): { readonly message: string; readonly reason: string } {
  try {
    const { error } = googleSchema.parse(JSON.parse(text))
    return { message: error.message, reason: error.errors[0]?.reason ?? '' }
  } catch {
    return { message: text.startsWith('<') ? '' : text, reason: '' }
  }
}

/** Of a small body, and no more than about `max` of it. */
export async function readBytes(
  { body }: Pick<GcsResponse, 'body'>,
  max = Number.POSITIVE_INFINITY,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > max) break
  }
  return Buffer.concat(chunks)
}
