import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { type Aws, region } from './aws.ts'
import {
  answer,
  answerJson,
  type FakeServer,
  type Recorded,
  startFakeServer,
} from './fake-server.ts'
import { family, type Image } from './images.ts'
import type { ObjectStore } from './object-store.ts'

/** Whose registry it is: not that of those who pull. */
export const registryAccount = '444455556666'
export const registryHost = `${registryAccount}.dkr.ecr.${region}.amazonaws.com`

/**
 * A registry of Amazon ECR, or ECR Public, as its documentation, and those who have met it, describe
 * them. Blobs are in `storage`.
 */
export interface Ecr extends FakeServer {
  put(name: string, tag: string, image: Image): void
  /** Nobody may read this repository any more. */
  deny(name: string): void
  /** The tokens that ECR Public's endpoint has given so far are good no more. */
  expireTokens(): void
  /** Of the requests for manifests and blobs, how many were answered so. */
  answered(status: number): number
}

type EcrOptions = {
  readonly aws: Pick<Aws, 'password'>
  readonly storage: ObjectStore
  readonly kind?: 'private' | 'public'
}

type Request = Recorded & { readonly response: ServerResponse; readonly url: URL }

/** Maximum number of entries in a page. */
const longestPage = 1000

export async function startEcr({ aws, storage, kind = 'private' }: EcrOptions): Promise<Ecr> {
  const manifests = new Map<string, Image>()
  const tags = new Map<string, Set<string>>()
  const blobs = new Map<string, Buffer>()
  const denied = new Set<string>()
  const tokens = new Set<string>()

  const server = await startFakeServer((recorded, response) => {
    const request = { ...recorded, response, url: new URL(recorded.path, server.url) }
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    if (kind === 'public' && request.url.pathname === '/token/') return giveToken(request)
    const isLetIn = kind === 'public' ? bearer(request) : basic(request)
    if (isLetIn) serve(request)
  })

  /** The password is sent as Basic with each request, and expires with a 403. */
  const basic = (request: Request): boolean => {
    const known = passwordIn(request)
    if (known === 'valid') return true
    if (known === 'expired') return fail(request, 403, 'DENIED', expired)
    const challenge = `Basic realm="https://${registryHost}/",service="ecr.amazonaws.com"`
    request.response.setHeader('www-authenticate', challenge)
    answer(request.response, 401, { 'content-type': 'text/plain' }, 'Not Authorized\n')
    return false
  }

  const bearer = (request: Request): boolean => {
    const { headers, method, url, response } = request
    // Not as the specification requires.
    const invalid = 'Your Authorization Token is invalid.'
    const isHeadOfBlob = method === 'HEAD' && url.pathname.includes('/blobs/')
    const [, token = ''] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? []
    if (tokens.has(token) && !isHeadOfBlob) return true
    if (token !== '' && !isHeadOfBlob) return fail(request, 400, 'DENIED', invalid)
    const realm = `http://public.ecr.aws:${server.port}/token/`
    response.setHeader(
      'www-authenticate',
      `Bearer realm="${realm}",service="public.ecr.aws",scope="aws"`,
    )
    return fail(request, 401, 'DENIED', 'Not Authorized')
  }

  const giveToken = (request: Request): void => {
    const known = passwordIn(request)
    if (known === 'expired') return void fail(request, 403, 'DENIED', expired)
    if (known === 'unknown') return void fail(request, 401, 'DENIED', 'Not Authorized')
    const token = randomBytes(200).toString('base64url')
    tokens.add(token)
    answerJson(request.response, 200, { token })
  }

  const passwordIn = ({ headers }: Request): 'valid' | 'expired' | 'unknown' => {
    const [, encoded = ''] = /^Basic (.+)$/.exec(headers.authorization ?? '') ?? []
    const [username, text = ''] = Buffer.from(encoded, 'base64').toString().split(':')
    const known = username === 'AWS' ? aws.password(text) : undefined
    if (known === undefined) return 'unknown'
    return known.until > Date.now() ? 'valid' : 'expired'
  }

  const serve = (request: Request): void => {
    const { url, response } = request
    if (url.pathname === '/v2/') return answerJson(response, 200, {})
    const [, name = '', what, last = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(url.pathname) ?? []
    if (denied.has(name)) return void fail(request, 403, 'DENIED', mayNot(name))
    if (!tags.has(name)) {
      const message = `The repository with name '${name}' does not exist in the registry with id '${registryAccount}'`
      return void fail(request, 404, 'NAME_UNKNOWN', message)
    }
    if (what === 'manifests') return serveManifest(request, manifests.get(`${name}@${last}`))
    if (what === 'blobs') return serveBlob(request, blobs.get(`${name}@${last}`))
    if (what === 'tags') return listTags(request, name)
    fail(request, 404, 'UNSUPPORTED', 'not found')
  }

  const serveManifest = (request: Request, image: Image | undefined): void => {
    if (image === undefined)
      return void fail(request, 404, 'MANIFEST_UNKNOWN', 'Requested image not found')
    const { mediaType, digest, bytes } = image
    const headers = { 'content-type': mediaType, 'docker-content-digest': digest }
    if (request.method !== 'HEAD') return answer(request.response, 200, headers, bytes)
    answer(request.response, 200, { ...headers, 'content-length': String(bytes.length) })
  }

  const serveBlob = (request: Request, bytes: Buffer | undefined): void => {
    if (bytes === undefined) return void fail(request, 404, 'BLOB_UNKNOWN', 'Layer not found')
    if (request.method === 'HEAD')
      return answer(request.response, 200, { 'content-length': String(bytes.length) })
    answer(request.response, 307, { location: storage.sign(bytes) })
  }

  /** The page after `last`, whose next one is named by something opaque. */
  const listTags = (request: Request, name: string): void => {
    const { searchParams } = request.url
    const size = Number(searchParams.get('n') ?? 100)
    if (size > longestPage) {
      const message = `Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to ${longestPage}'`
      return void fail(request, 405, 'UNSUPPORTED', message)
    }
    const all = [...(tags.get(name) ?? [])]
    const last = Buffer.from(searchParams.get('last') ?? '', 'base64url').toString()
    const from = Number(last)
    const next = Buffer.from(String(from + size)).toString('base64url')
    if (from + size < all.length)
      request.response.setHeader(
        'link',
        `<http://${request.headers.host}/v2/${name}/tags/list?last=${next}&n=${size}>; rel="next"`,
      )
    answerJson(request.response, 200, { name, tags: all.slice(from, from + size) })
  }

  return {
    ...server,
    put: (name, tag, image) => {
      for (const member of family(image)) {
        manifests.set(`${name}@${member.digest}`, member)
        for (const { digest, bytes } of member.blobs) blobs.set(`${name}@${digest}`, bytes)
      }
      manifests.set(`${name}@${tag}`, image)
      tags.set(name, (tags.get(name) ?? new Set()).add(tag))
    },
    expireTokens: () => tokens.clear(),
    deny: (name) => void denied.add(name),
    answered: (status) => server.requests.filter((request) => request.status === status).length,
  }
}

const expired = 'Your authorization token has expired. Reauthenticate and try again.'

function mayNot(name: string): string {
  return `User: arn:aws:sts::111122223333:assumed-role/berth/session is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:${region}:${registryAccount}:repository/${name} because no resource-based policy allows the ecr:BatchGetImage action`
}

function fail({ response }: Request, status: number, code: string, message: string): false {
  answerJson(response, status, { errors: [{ code, message }] })
  return false
}
