import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { digestOf, isDigest } from '../../src/oci/digest.ts'
import { answer, type Recorded } from './fake-server.ts'
import type { createContent } from './registry-content.ts'

type Request = Recorded & {
  readonly pathname: string
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

type Session = { readonly name: string; bytes: Buffer; patches: number }

type Options = {
  readonly content: ReturnType<typeof createContent>
  readonly fail: (request: Request, status: number, code: string, message: string) => void
}

/**
 * The write side of Artifact Registry: an upload's location is outside `/v2/`, takes one streamed PATCH or
 * none, and then a PUT; a mount is answered as if it were an upload.
 */
export function createArtifactUploads({ content, fail }: Options) {
  const sessions = new Map<string, Session>()

  /** The repository that an upload session belongs to. */
  const nameOf = (pathname: string): string | undefined => sessions.get(pathname)?.name

  const start = ({ response }: Request, name: string): void => {
    const [project, repository] = name.split('/')
    const opaque = randomBytes(96).toString('base64url')
    const location = `/artifacts-uploads/namespaces/${project}/repositories/${repository}/uploads/${opaque}?upload_id=a%3Db~c`
    sessions.set(location.replace(/\?.*/, ''), { name, bytes: Buffer.alloc(0), patches: 0 })
    answer(response, 202, { location, range: '0-0' })
  }

  const add = (request: Request, session: Session): void => {
    if (session.patches > 0 || request.headers['content-range'] !== undefined)
      return fail(request, 400, 'UNSUPPORTED', 'chunked uploads are not supported')
    session.patches += 1
    session.bytes = request.bytes
    answer(request.response, 202, { location: request.path })
  }

  const finish = (request: Request, session: Session): void => {
    const { query, response, pathname } = request
    const digest = query.get('digest') ?? ''
    if (query.get('upload_id') !== 'a=b~c')
      return fail(request, 400, 'BLOB_UPLOAD_INVALID', 'the location was changed')
    const bytes = session.patches > 0 ? session.bytes : request.bytes
    if (!isDigest(digest) || digestOf(bytes) !== digest)
      return fail(request, 400, 'DIGEST_INVALID', 'digest does not match')
    sessions.delete(pathname)
    content.putBlob(session.name, { digest, bytes })
    answer(response, 201, {
      location: `/v2/${session.name}/blobs/${digest}`,
      'docker-content-digest': digest,
    })
  }

  const serve = (request: Request): void => {
    const session = sessions.get(request.pathname)
    if (session === undefined)
      return fail(request, 404, 'BLOB_UPLOAD_UNKNOWN', 'upload session not found')
    if (request.method === 'PATCH') return add(request, session)
    if (request.method === 'PUT') return finish(request, session)
    if (request.method !== 'DELETE')
      return fail(request, 405, 'UNSUPPORTED', 'the status of an upload is not known')
    sessions.delete(request.pathname)
    answer(request.response, 204)
  }

  const putManifest = (request: Request, name: string, reference: string): void => {
    const { bytes, headers, response } = request
    const {
      config,
      layers = [],
      subject,
    } = JSON.parse(bytes.toString()) as {
      config?: { digest: string }
      layers?: readonly { digest: string }[]
      subject?: { digest: string }
    }
    const missing = [config ?? [], layers].flat().find(({ digest }) => !content.blob(name, digest))
    if (missing !== undefined)
      return fail(request, 404, 'MANIFEST_BLOB_UNKNOWN', `blob ${missing.digest} is unknown`)
    const digest = digestOf(bytes)
    const mediaType = headers['content-type'] ?? ''
    content.putManifest(name, reference, { digest, mediaType, bytes, blobs: [], children: [] })
    answer(response, 201, {
      'docker-content-digest': digest,
      ...(subject && { 'oci-subject': subject.digest }),
    })
  }

  return { start, serve, nameOf, putManifest, open: () => sessions.size }
}
