import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { createArtifactUploads } from './artifact-uploads.ts'
import type { KeyPair } from './certificates.ts'
import {
  answer,
  answerBytes,
  answerJson,
  type FakeServer,
  type Recorded,
  startFakeServer,
} from './fake-server.ts'
import { createTokens, type TokenLife, type Tokens } from './google.ts'
import type { Image } from './images.ts'
import type { ObjectStore } from './object-store.ts'
import { createContent } from './registry-content.ts'

/** What may be switched, while it runs. */
export type Behavior = {
  /** Where an access token is taken: as Bearer in each request, at the token endpoint, or at both. */
  readonly accessTokens: 'direct' | 'endpoint' | 'both'
  /** Users that may write, by repository (`PROJECT/REPOSITORY`); undefined: those that may read it. */
  readonly writers: ((holder: string, repository: string) => boolean) | undefined
  /** Users that may read, by repository (`PROJECT/REPOSITORY`); undefined: all users with a token. */
  readonly readers: ((holder: string, repository: string) => boolean) | undefined
  /** Of the tokens that the endpoint gives. */
  readonly tokenLife: TokenLife
  /** HEAD of a manifest is answered, or is 405. */
  readonly headOfManifests: boolean
  /** Blobs are redirected there instead of to the registry's own host. */
  readonly storage: ObjectStore | undefined
  /** Bytes a second of each download from the registry's own host; undefined: as fast as it goes. */
  readonly rate: number | undefined
  /**
   * After so many requests, everything is 429 for so many milliseconds. `retryAfter`: whether the
   * answer says for how long; `alternately`: every other time.
   */
  readonly quota:
    | {
        readonly requests: number
        readonly milliseconds: number
        readonly retryAfter: boolean | 'alternately'
      }
    | undefined
}

/**
 * Google Artifact Registry as its documentation, and those who have met it, describe it. Everything is
 * private to holders of one of `accessTokens`.
 */
export interface ArtifactRegistry extends FakeServer {
  behave(behavior: Partial<Behavior>): void
  /** Names have a project, a repository and one part more, at least. */
  put(name: string, tag: string | undefined, image: Image): void
  manifest(name: string, reference: string): Image | undefined
  blob(name: string, digest: string): Buffer | undefined
  /** Upload sessions that are neither finished nor cancelled. */
  openUploads(): number
  /** Answers of 429 so far. */
  throttled(): number
}

type Options = {
  /** Of Google's services. */
  readonly accessTokens: Tokens
  readonly tls?: KeyPair
  /** Where it listens, if others than this machine are to reach it. */
  readonly address?: string
}

type Request = Recorded & {
  /** Path without the query. */
  readonly pathname: string
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

const defaultBehavior: Behavior = {
  accessTokens: 'both',
  readers: undefined,
  writers: undefined,
  tokenLife: { seconds: 3600 },
  headOfManifests: true,
  storage: undefined,
  rate: undefined,
  quota: undefined,
}

export async function startArtifactRegistry({
  accessTokens,
  tls,
  address,
}: Options): Promise<ArtifactRegistry> {
  let behavior = defaultBehavior
  const registryTokens = createTokens('AAC', behavior.tokenLife)
  /** Of the registry's own tokens. */
  const holders = new Map<string, string>()
  const content = createContent()
  const downloads = createDownloads()
  const uploads = createArtifactUploads({ content, fail })
  const quota = createQuota()

  const server = await startFakeServer(
    (recorded, response) => {
      const url = new URL(recorded.path, 'http://registry')
      const request = { ...recorded, response, pathname: url.pathname, query: url.searchParams }
      response.setHeader('docker-distribution-api-version', 'registry/2.0')
      response.setHeader('x-frame-options', 'SAMEORIGIN')
      const throttled = quota.take(behavior.quota)
      if (throttled !== undefined) return tooMany(request, throttled)
      if (request.pathname === '/v2/token') return giveToken(request)
      if (request.pathname.startsWith('/artifacts-downloads/')) return download(request)
      const permit = permitted(request)
      if (permit === 'unknown') return challenge(request)
      if (permit === 'refused') return deny(request)
      serve(request)
    },
    { tls, address },
  )

  const tooMany = (request: Request, { left, told }: Throttled): void => {
    if (told) request.response.setHeader('retry-after', String(Math.ceil(left / 1000)))
    fail(request, 429, 'TOOMANYREQUESTS', "Quota exceeded for quota metric 'Requests per project'")
  }

  const deny = (request: Request): void => {
    const [project, repository] = nameOf(request.pathname)?.split('/') ?? []
    const resource = `projects/${project}/locations/us/repositories/${repository}`
    const permission = `artifactregistry.repositories.${isWrite(request) ? 'uploadArtifacts' : 'downloadArtifacts'}`
    const message = `Permission "${permission}" denied on resource "${resource}" (or it may not exist)`
    fail(request, 403, 'DENIED', message)
  }

  const challenge = (request: Request): void => {
    request.response.setHeader('www-authenticate', `Bearer realm="${server.url}/v2/token"`)
    fail(request, 401, 'UNAUTHENTICATED', 'Unauthenticated request.')
  }

  /**
   * Without a credential it gives a token as well: one that opens nothing. There is no POST, as
   * containerd knows of Google (core/remotes/docker/authorizer.go): by a 404 it learns that, and GETs.
   */
  const giveToken = (request: Request): void => {
    if (request.method !== 'GET') return fail(request, 404, 'NAME_UNKNOWN', 'Not found.')
    const { headers, query, response } = request
    const scope = query.get('scope') ?? ''
    const holder = basicHolder(headers.authorization)
    if (holder === 'refused') return fail(request, 401, 'UNAUTHORIZED', 'authentication failed')
    registryTokens.live(behavior.tokenLife)
    const { token, seconds } = registryTokens.issue(holder === undefined ? '' : scope)
    if (holder !== undefined) holders.set(token, holder)
    answerJson(response, 200, {
      token,
      expires_in: seconds,
      issued_at: new Date().toISOString(),
    })
  }

  const basicHolder = (authorization: string | undefined): string | 'refused' | undefined => {
    if (authorization === undefined) return undefined
    const [, encoded = ''] = /^Basic (.+)$/.exec(authorization) ?? []
    const [, user, password = ''] =
      /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? []
    if (user !== 'oauth2accesstoken' || behavior.accessTokens === 'direct') return 'refused'
    return accessTokens.spend(password) ?? 'refused'
  }

  const nameOf = (pathname: string) => nameIn(pathname) ?? uploads.nameOf(pathname)

  const permitted = (request: Request): 'yes' | 'refused' | 'unknown' => {
    const { headers, pathname } = request
    const [, token] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? []
    if (token === undefined) return 'unknown'
    const direct = behavior.accessTokens === 'endpoint' ? undefined : accessTokens.spend(token)
    const name = nameOf(pathname)
    const may = isWrite(request) ? mayWrite : mayRead
    if (direct !== undefined) return may(direct, name) ? 'yes' : 'refused'
    const scope = registryTokens.spend(token)
    if (scope === undefined) return 'unknown'
    const needed = isWrite(request) ? ['pull', 'push'] : ['pull']
    const isMeant = name === undefined || allows(scope, name, needed)
    return isMeant && may(holders.get(token) ?? '', name) ? 'yes' : 'refused'
  }

  const mayRead = (holder: string, name: string | undefined): boolean => {
    const repository = name?.split('/').slice(0, 2).join('/')
    return repository === undefined || (behavior.readers?.(holder, repository) ?? true)
  }

  const mayWrite = (holder: string, name: string | undefined): boolean => {
    const repository = name?.split('/').slice(0, 2).join('/') ?? ''
    return mayRead(holder, name) && (behavior.writers?.(holder, repository) ?? true)
  }

  const serve = (request: Request): void => {
    const { pathname, response, method } = request
    if (pathname === '/v2/') return answerJson(response, 200, {})
    if (pathname.startsWith('/artifacts-uploads/')) return uploads.serve(request)
    const name = nameIn(pathname)
    const [, kind, last = ''] = /\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(pathname) ?? []
    if (name === undefined || name.split('/').length < 3)
      return fail(request, 404, 'NAME_UNKNOWN', 'expected PROJECT/REPOSITORY/IMAGE')
    if (pathname.endsWith('/blobs/uploads/')) return uploads.start(request, name)
    if (method === 'DELETE')
      return content.remove(name, last)
        ? answer(response, 202)
        : fail(request, 404, 'MANIFEST_UNKNOWN', 'not found')
    if (method === 'PUT') return uploads.putManifest(request, name, last)
    if (kind === 'manifests') return serveManifest(request, content.manifest(name, last))
    if (kind === 'blobs') return serveBlob(request, name, content.blob(name, last))
    if (kind === 'tags') return answerJson(response, 200, listTags(name, content.tagged(name)))
    serveReferrers(request, content.manifests(name), last)
  }

  const serveManifest = (request: Request, image: Image | undefined): void => {
    const { method, response } = request
    if (method === 'HEAD' && !behavior.headOfManifests) return answer(response, 405)
    if (image === undefined)
      return fail(request, 404, 'MANIFEST_UNKNOWN', 'Failed to fetch the manifest')
    answer(
      response,
      200,
      {
        'content-type': image.mediaType,
        'docker-content-digest': image.digest,
        'content-length': String(image.bytes.length),
      },
      method === 'HEAD' ? '' : image.bytes,
    )
  }

  const serveBlob = (request: Request, name: string, bytes: Buffer | undefined): void => {
    const { method, response } = request
    if (bytes === undefined) return fail(request, 404, 'BLOB_UNKNOWN', 'blob unknown to registry')
    if (method === 'HEAD') return answer(response, 200, { 'content-length': String(bytes.length) })
    const location = behavior.storage?.sign(bytes) ?? downloads.sign(name, bytes)
    answer(response, 302, { location, 'content-type': 'text/html; charset=utf-8' }, 'Found.\n')
  }

  const download = (request: Request): void | Promise<void> => {
    const bytes = downloads.find(request.pathname)
    if (bytes === undefined) return fail(request, 403, 'DENIED', 'the link is not valid')
    return answerBytes(request, request.response, bytes, { rate: behavior.rate })
  }

  return {
    ...server,
    behave: (changed) => {
      behavior = { ...behavior, ...changed }
    },
    put: content.put,
    manifest: content.manifest,
    blob: content.blob,
    openUploads: uploads.open,
    throttled: () => server.requests.filter(({ status }) => status === 429).length,
  }
}

function fail({ response }: Request, status: number, code: string, message: string): void {
  answerJson(response, status, { errors: [{ code, message }] })
}

export function nameIn(pathname: string): string | undefined {
  return /^\/v2\/(.+)\/(?:blobs\/uploads\/|(?:manifests|blobs|tags|referrers)\/[^/]+)$/.exec(
    pathname,
  )?.[1]
}

function isWrite({ method }: Request): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

function allows(scope: string, name: string, needed: readonly string[]): boolean {
  const [, actions = ''] = scope.split(`repository:${name}:`)
  return needed.every((action) => actions.split(',').includes(action))
}

/** Google's own fields stand beside the specification's. */
function listTags(name: string, tagged: readonly { reference: string; image: Image }[]): unknown {
  const manifest = Object.fromEntries(
    tagged.map(({ image }) => [
      image.digest,
      {
        imageSizeBytes: String(image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0)),
        layerId: '',
        mediaType: image.mediaType,
        tag: tagged.flatMap((other) => (other.image === image ? [other.reference] : [])),
        timeCreatedMs: '0',
        timeUploadedMs: '1700000000000',
      },
    ]),
  )
  return { child: [], manifest, name, tags: tagged.map(({ reference }) => reference) }
}

function serveReferrers({ query, response }: Request, images: readonly Image[], digest: string) {
  const wanted = query.get('artifactType')
  const manifests = images.flatMap(({ bytes, digest: own, mediaType }) => {
    const { subject, artifactType, config } = JSON.parse(bytes.toString()) as {
      subject?: { digest: string }
      artifactType?: string
      config?: { mediaType: string }
    }
    const type = artifactType ?? config?.mediaType
    if (subject?.digest !== digest || (wanted !== null && wanted !== type)) return []
    return [{ mediaType, digest: own, size: bytes.length, artifactType: type }]
  })
  if (wanted !== null) response.setHeader('oci-filters-applied', 'artifactType')
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
  answer(response, 200, { 'content-type': mediaTypes.ociIndex }, JSON.stringify(index))
}

/** Links to blobs on the registry's own host: relative, long, never the same, good for a minute. */
function createDownloads() {
  const links = new Map<string, { readonly bytes: Buffer; readonly until: number }>()
  return {
    sign: (name: string, bytes: Buffer): string => {
      const [project, repository] = name.split('/')
      const opaque = randomBytes(1536).toString('base64url')
      const path = `/artifacts-downloads/namespaces/${project}/repositories/${repository}/downloads/${opaque}`
      links.set(path, { bytes, until: Date.now() + 60_000 })
      return path
    },
    find: (path: string): Buffer | undefined => {
      const link = links.get(path)
      return link !== undefined && link.until > Date.now() ? link.bytes : undefined
    },
  }
}

/** Milliseconds until requests are accepted again, and whether Retry-After is sent. */
type Throttled = { readonly left: number; readonly told: boolean }

function createQuota() {
  let answered = 0
  let until = 0
  let exceeded = 0
  return {
    take: (quota: Behavior['quota']): Throttled | undefined => {
      if (quota === undefined) return undefined
      const now = Date.now()
      if (now >= until && answered >= quota.requests) {
        until = now + quota.milliseconds
        answered = 0
        exceeded += 1
      }
      if (now >= until) {
        answered += 1
        return undefined
      }
      const told = quota.retryAfter === 'alternately' ? exceeded % 2 === 1 : quota.retryAfter
      return { left: until - now, told }
    },
  }
}
