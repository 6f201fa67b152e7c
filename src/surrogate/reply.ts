import { once } from 'node:events'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { ForwardedAnswer } from '../remote/remote.ts'
import { inSpec } from './advice.ts'

/** Of the registry's headers, those of its API. Its challenges and cookies are not for clients. */
const headers = [
  'accept-ranges',
  'cache-control',
  'content-length',
  'content-range',
  'content-type',
  'docker-content-digest',
  'docker-distribution-api-version',
  'docker-upload-uuid',
  'etag',
  'last-modified',
  'oci-chunk-min-length',
  'oci-filters-applied',
  'oci-subject',
  'range',
  'retry-after',
  'warning',
]

type Reply = {
  readonly answer: ForwardedAnswer
  readonly response: ServerResponse
  readonly isHead: boolean
  /** The client's path for a Location of the registry. */
  readonly locationOf: (location: string) => string
}

/** Sends the registry's answer on, as fast as the client reads. */
export async function sendReply({ answer, response, isHead, locationOf }: Reply): Promise<void> {
  const found = headers.flatMap((name) => {
    const value = answer.header(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  const location = answer.header('location')
  const link = answer.header('link')
  try {
    response.writeHead(answer.status, {
      ...Object.fromEntries(found),
      ...(location !== undefined && { location: locationOf(location) }),
      // Pages of a list: the next one is at the surrogate too.
      ...(link !== undefined && { link: link.replaceAll(/<https?:\/\/[^/>]+\//g, '</') }),
    })
    if (!isHead)
      for await (const chunks of answer.body)
        for (const chunk of chunks) if (!response.write(chunk)) await drained(response)
    response.end()
  } finally {
    answer.drop()
  }
}

/** @throws Error if the client leaves. */
async function drained(response: ServerResponse): Promise<void> {
  const gone = new AbortController()
  const onClose = () => gone.abort(new Error('the client has left'))
  response.once('close', onClose)
  try {
    if (response.destroyed) onClose()
    await once(response, 'drain', { signal: gone.signal })
  } finally {
    response.off('close', onClose)
  }
}

export function sendError(response: ServerResponse, error: unknown): void {
  const failure: RegistryError = isRegistryError(error)
    ? error
    : new RegistryError('UNKNOWN', { message: 'the surrogate failed; see its log' })
  const { status, code, message, retryAfter } = failure
  const body = JSON.stringify({ errors: [{ code, message: inSpec(message) }] })
  const own: OutgoingHttpHeaders = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'docker-distribution-api-version': 'registry/2.0',
    // What the client still sends is not read.
    connection: 'close',
    ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
  }
  response.writeHead(status, own).end(body)
}
