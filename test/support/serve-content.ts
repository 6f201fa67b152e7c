import type { ServerResponse } from 'node:http'
import { answer, answerBytes, answerJson, type Recorded } from './fake-server.ts'
import type { createContent } from './registry-content.ts'

type Content = ReturnType<typeof createContent>

type Options = {
  readonly name: string
  /** Instead of the bytes of a blob itself. */
  readonly sendBlob?: (bytes: Buffer) => void
}

/** Serves manifests, blobs and tags of a repository to clients with access. */
export function serveContent(
  content: Content,
  request: Recorded,
  response: ServerResponse,
  { name, sendBlob = (bytes) => void answerBytes(request, response, bytes) }: Options,
): void {
  const { method, path } = request
  const [, kind, last = ''] = /\/(manifests|blobs|tags)\/([^/?]+)/.exec(path) ?? []
  if (kind === 'tags') {
    const tags = content.tagged(name).map(({ reference }) => reference)
    return answerJson(response, 200, { name, tags })
  }
  if (kind === 'blobs') {
    const bytes = content.blob(name, last)
    if (bytes === undefined) return missing(response, 'BLOB_UNKNOWN', 'blob unknown to registry')
    if (method === 'HEAD') return answer(response, 200, { 'content-length': String(bytes.length) })
    return sendBlob(bytes)
  }
  const image = content.manifest(name, last)
  if (image === undefined)
    return missing(response, 'MANIFEST_UNKNOWN', `manifest tagged by "${last}" is not found`)
  const headers = {
    'content-type': image.mediaType,
    'docker-content-digest': image.digest,
    'content-length': String(image.bytes.length),
  }
  answer(response, 200, headers, method === 'HEAD' ? '' : image.bytes)
}

function missing(response: ServerResponse, code: string, message: string): void {
  answerJson(response, 404, { errors: [{ code, message }] })
}
