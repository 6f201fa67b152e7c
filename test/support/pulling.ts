import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from './berth.ts'
import { type Authority, createAuthority } from './certificates.ts'
import type { Login } from './docker-registry.ts'
import type { Image } from './images.ts'
import { attempt } from './programs.ts'
import { login, repository, type Scene, setScene } from './scene.ts'
import { artifactRegistryUpstream, dockerRegistryUpstream, type Upstream } from './upstreams.ts'

/** A real client, with a store of its own that is empty at first. */
export interface Client {
  /** Pulls `name`, as `project/repository/app:v1`, through Berth. Rejects with the client's words. */
  pull(name: string, login: Login): Promise<void>
  /** Compares the content of these manifests with the content that the client has of `name`. */
  check(name: string, wanted: readonly Image[]): Promise<void>
  close(): Promise<void>
}

export type ClientKind = {
  readonly name: string
  /** Pulls all images of an index, and not only the first, which is for this machine. */
  readonly pullsAll: boolean
  /**
   * How it uses TLS: it trusts the given authority, or any, as docker does on localhost.
   * Without it, TLS is not tested with this variant of the program.
   */
  readonly tls?: 'verified' | 'unverified'
  /**
   * `host` is Berth's. The directory is removed afterwards. `authority`: PEM file; Berth is served over
   * TLS, and this is whom to believe; without it, over plain HTTP.
   */
  readonly start: (host: string, directory: string, authority?: string) => Promise<Client>
  /** What else must be so after a first pull. */
  readonly afterwards?: (scene: Scene) => void | Promise<void>
}

/** What every client must be able to do. */
export function describeClient(kind: ClientKind): void {
  describe(`${kind.name}, through Berth, from docker-registry`, () => {
    describePulls(kind, dockerRegistryUpstream)
  })
  describe(`${kind.name}, through Berth, from Artifact Registry`, () => {
    describePulls(kind, () => artifactRegistryUpstream({ grant: 'impersonation' }))
  })
  test(`${kind.name} pulls while tokens expire, are revoked, requests are throttled and bodies break`, () =>
    pullInBadWeather(kind))
  if (kind.tls !== undefined)
    test(`${kind.name} pulls over TLS, and again when the certificate has been replaced`, () =>
      pullOverTls(kind))
}

/** What a client must be able to do with any upstream. */
export function describePulls(kind: ClientKind, startUpstream: () => Promise<Upstream>): void {
  let scene: Scene
  before(async () => {
    scene = await setScene(await startUpstream())
  })
  after(() => scene?.close())

  test('a wrong password is refused', async () => {
    await withClient(kind, scene, async (client) => {
      const wrong = { ...login, password: 'wrong' }
      await assert.rejects(client.pull(`${repository}:image`, wrong), /401|unauthorized/i)
    })
    assert.equal(await scene.berth.metric('berth_upstream_requests_total'), 0)
  })

  test('an image and an index are pulled byte by byte, each blob once from the upstream', async () => {
    await withClient(kind, scene, (client) => pullBoth(kind, client, scene))
    const fetched = ['kind="blob"', 'source="upstream"']
    const bytes = await scene.berth.metric('berth_cache_bytes_total', fetched)
    assert.ok(bytes <= sizeOfBlobs(scene), `${bytes} bytes came from the upstream`)
    await kind.afterwards?.(scene)
  })

  test('they are pulled into an empty store while the upstream is dead', async () => {
    const { berth, upstream, images } = scene
    await upstream.stop()
    const hits = () => berth.metric('berth_cache_requests_total', ['kind="blob"', 'result="hit"'])
    const before = await hits()
    await withClient(kind, scene, (client) => pullBoth(kind, client, scene))
    assert.ok((await hits()) - before >= images.image.blobs.length, 'blobs are hits')
    const stale = ['kind="tag"', 'result="stale"']
    assert.ok((await berth.metric('berth_cache_requests_total', stale)) >= 2, 'tags are stale')
  })
}

/**
 * Access tokens live six seconds, those of the token endpoint three requests; after each five requests
 * come only 429s for a while. Blobs come from another host, which breaks off the first large one.
 */
async function pullInBadWeather(kind: ClientKind): Promise<void> {
  const upstream = await artifactRegistryUpstream({ grant: 'direct', life: { seconds: 6 } })
  const { registry, storage, google } = upstream
  const scene = await setScene(upstream)
  try {
    registry.delay(100)
    registry.behave({
      accessTokens: 'endpoint',
      tokenLife: { seconds: 30, requests: 3 },
      headOfManifests: false,
      storage,
      quota: { requests: 5, milliseconds: 800, retryAfter: 'alternately' },
    })
    storage.cutNext()
    await withClient(kind, scene, (client) => pullBoth(kind, client, scene))

    const answered = (status: number) =>
      registry.requests.filter((request) => request.status === status).length
    assert.ok(answered(429) >= 2, 'requests were throttled')
    assert.ok(answered(401) >= 2, 'tokens were revoked')
    assert.ok(google.accessTokens.all().length >= 2, 'access tokens expired')
    assert.ok(await scene.berth.metric('berth_fill_resumes_total'), 'a body was resumed')
    for (const { headers } of storage.requests) assert.equal(headers.authorization, undefined)
  } finally {
    await scene.close()
  }
}

/** Another authority's certificate takes the place of the first, in the same process. */
async function pullOverTls(kind: ClientKind): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-certificates-'))
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  const serveAs = async (authority: Authority): Promise<void> => {
    const pair = await authority.issue(['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'])
    await writeFile(tls.certificate, pair.certificate)
    await writeFile(tls.key, pair.key)
  }
  const [first, second] = [await createAuthority('first'), await createAuthority('second')]
  await serveAs(first)
  const scene = await setScene(await dockerRegistryUpstream(), { tls })
  try {
    await withClient(kind, scene, (client) => pullImage(client, scene), first.file)
    await serveAs(second)
    await eventually('the new certificate is in force', () =>
      scene.berth.output().includes('"msg":"files changed: the new content is in force"'),
    )
    await withClient(kind, scene, (client) => pullBoth(kind, client, scene), second.file)
    if (kind.tls === 'unverified') return
    await withClient(
      kind,
      scene,
      (client) =>
        assert.rejects(pullImage(client, scene), /certificate signed by unknown authority/),
      first.file,
    )
  } finally {
    await scene.close()
    await Promise.all([first.remove(), second.remove(), attempt(['rm', '-rf', directory])])
  }
}

async function pullBoth(kind: ClientKind, client: Client, scene: Scene): Promise<void> {
  const { index } = scene.images
  await pullImage(client, scene)
  await client.pull(`${repository}:index`, login)
  const children = kind.pullsAll ? index.children : index.children.slice(0, 1)
  await client.check(`${repository}:index`, [index, ...children])
}

async function pullImage(client: Client, { images: { image } }: Scene): Promise<void> {
  await client.pull(`${repository}:image`, login)
  await client.check(`${repository}:image`, [image])
}

async function withClient(
  kind: ClientKind,
  { berth }: Scene,
  use: (client: Client) => Promise<void>,
  authority?: string,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-client-'))
  const client = await kind.start(berth.host, directory, authority)
  try {
    await use(client)
  } catch (error) {
    throw new Error(`${kind.name} failed; the end of Berth's log:\n${berth.lastWords()}`, {
      cause: error,
    })
  } finally {
    await client.close()
    await attempt(['rm', '-rf', '--one-file-system', directory])
  }
}

function sizeOfBlobs({ images: { image, index } }: Scene): number {
  const blobs = [image, ...index.children].flatMap((member) => member.blobs)
  const sizes = new Map(blobs.map(({ digest, bytes }) => [digest, bytes.length]))
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}

/** Everything by digest that these manifests stand for, themselves included, children not. */
export function contentOf(images: readonly Image[]): ReadonlyMap<string, Buffer> {
  return new Map(
    images.flatMap(({ digest, bytes, blobs }) => [
      [digest as string, bytes] as const,
      ...blobs.map((blob) => [blob.digest as string, blob.bytes] as const),
    ]),
  )
}
