import type { Chunks } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseUploadId } from '../oci/upload-id.ts'
import type { Writer } from '../registry/registry.ts'
import type { RequestBodies } from './request-bodies.ts'
import type { WriteCall } from './writing.ts'

/** Where upload sessions are that were begun at other replicas. */
export interface UploadOwners {
  /** Names this replica in the Locations of its sessions: `ID.NAME`. */
  readonly own: string
  /** Sends a request to the replica of that name, once; undefined: it is gone, and its sessions with it. */
  send(owner: string, request: UploadRequest): Promise<UploadAnswer | undefined>
}

type UploadRequest = {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly writer: Writer
  readonly headers: Readonly<Record<string, string>>
  readonly body:
    | { readonly size: number | undefined; readonly chunks: AsyncIterable<Chunks> }
    | undefined
}

type UploadAnswer = {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly body: AsyncIterable<Chunks>
}

const sentHeaders = ['content-range', 'content-type']
const answeredHeaders = [
  'content-type',
  'docker-content-digest',
  'docker-upload-uuid',
  'location',
  'range',
  'retry-after',
]

type Handle = (call: WriteCall) => Promise<unknown>

/**
 * Hands a request for a session of another replica on to it, as it arrives. Without that replica the session is
 * unknown, so that the client begins the upload again: its bytes are never lost silently.
 */
export function createAtOwner(owners: UploadOwners | undefined, bodies: RequestBodies) {
  const forward = async (call: WriteCall, owners: UploadOwners, owner: string) => {
    const { request, reply, query, name, writer, reference, record } = call
    record.reference = parseUploadId(sessionIn(reference).id)
    const parameters = new URLSearchParams(query)
    parameters.delete('ns')
    const body = bodies.stream(call)
    const answer = await owners.send(owner, {
      method: request.method,
      target: `/v2/${name}/blobs/uploads/${reference}?${parameters}`,
      writer,
      headers: chosen(sentHeaders, (header) => single(request.headers[header])),
      body: body && { size: body.size, chunks: copies(body) },
    })
    if (answer === undefined)
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN', {
        message: 'the replica with this upload session is gone; begin the upload again',
      })
    const parts: Buffer[] = []
    for await (const chunks of answer.body) parts.push(...chunks)
    return reply
      .code(answer.status)
      .headers(chosen(answeredHeaders, answer.header))
      .send(Buffer.concat(parts))
  }

  return (handle: Handle): Handle =>
    (call) => {
      const { owner } = sessionIn(call.reference)
      return owners === undefined || owner === undefined || owner === owners.own
        ? handle(call)
        : forward(call, owners, owner)
    }
}

/** The parts of the last segment of a session's path: its id, and its replica if it has one. */
export function sessionIn(segment: string): { readonly id: string; readonly owner?: string } {
  const [id = '', owner, ...more] = segment.split('.')
  if (owner === undefined || more.length > 0) return { id: segment }
  return { id, owner }
}

/** The chunks of a body are freed when the next ones are requested, before they are sent. */
async function* copies(body: AsyncIterable<Chunks>): AsyncGenerator<Chunks> {
  for await (const chunks of body) yield chunks.map((chunk) => Buffer.from(chunk))
}

function chosen(
  names: readonly string[],
  header: (name: string) => string | undefined,
): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = header(name)
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
