import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { answer, answerBytes, type FakeServer, startFakeServer } from './fake-server.ts'

/**
 * Where other registries keep their blobs: another host, which is reached by URLs that are signed for
 * one object, and which rejects requests with a credential, as Amazon S3 and Azure do.
 */
export interface ObjectStore extends Pick<FakeServer, 'url' | 'requests' | 'count' | 'stop'> {
  /** A URL for these bytes, different each time. */
  sign(bytes: Buffer): string
  /** The connection of the next answer of more than a mebibyte breaks in its middle. */
  cutNext(): void
}

const large = 1024 * 1024

export async function startObjectStore(): Promise<ObjectStore> {
  const signed = new Map<string, Buffer>()
  let cut = false
  const server = await startFakeServer((request, response) => {
    if (request.headers.authorization !== undefined)
      return refuse(response, 400, 'InvalidArgument', 'Only one auth mechanism allowed')
    const bytes = signed.get(request.path)
    if (bytes === undefined) return refuse(response, 403, 'SignatureDoesNotMatch', 'no such URL')
    if (!cut || bytes.length <= large) return answerBytes(request, response, bytes)
    cut = false
    response.writeHead(200, { 'content-length': bytes.length })
    response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy())
  })

  return {
    ...server,
    sign: (bytes) => {
      const signature = randomBytes(32).toString('hex')
      const path = `/bucket/object?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=${signature}`
      signed.set(path, bytes)
      return server.url + path
    },
    cutNext: () => {
      cut = true
    },
  }
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`
  answer(response, status, { 'content-type': 'application/xml' }, body)
}
