import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from './berth-process.ts'
import { htpasswdLine, type Login } from './docker-registry.ts'
import { type Image, makeIndex } from './images.ts'
import { makeLayer, makeLayeredImage } from './layered-images.ts'
import { attempt } from './programs.ts'
import { artifactRegistryUpstream, dockerRegistryUpstream, type Upstream } from './upstreams.ts'

/** A real client, with a store of its own that is empty at first. */
export interface Client {
  /** Pulls `name`, as `project/repository/app:v1`, through Berth. Rejects with the client's words. */
  pull(name: string, login: Login): Promise<void>
  /** Compares all that these manifests stand for with what the client has of `name`. */
  check(name: string, wanted: readonly Image[]): Promise<void>
  close(): Promise<void>
}

export type ClientKind = {
  readonly name: string
  /** Of an index it pulls everything, and not what is for this machine only. */
  readonly pullsAll: boolean
  /** `host` is Berth's. The directory is removed afterwards. */
  readonly start: (host: string, directory: string) => Promise<Client>
  /** What else must be so after a first pull. */
  readonly afterwards?: (berth: BerthProcess, images: Images) => void
}

type Images = { readonly image: Image; readonly index: Image }

const login: Login = { user: 'kubelet', password: 'client-canary-52aa' }
const repository = 'my-project/my-repository/team/app'
/** Another name that Berth knows the same registry by: what a node's mirror is for. */
export const mirrored = 'registry.example'

/**
 * What every client must be able to do. The images: one of Docker's types with layers from tiny to
 * large, and an OCI index of two architectures that share a layer.
 */
export function describeClient(kind: ClientKind): void {
  const upstreams = [
    dockerRegistryUpstream,
    () => artifactRegistryUpstream({ grant: 'impersonation' }),
  ]
  for (const startUpstream of upstreams) {
    describe(`${kind.name}, through Berth, from ${startUpstream === dockerRegistryUpstream ? 'docker-registry' : 'Artifact Registry'}`, () => {
      describePulls(kind, startUpstream)
    })
  }
  test(`${kind.name} pulls while tokens expire, are revoked, and requests are throttled`, async () => {
    await pullInBadWeather(kind)
  })
}

function describePulls(kind: ClientKind, startUpstream: () => Promise<Upstream>): void {
  let scene: Scene
  before(async () => {
    scene = await setScene(await startUpstream())
  })
  after(() => scene?.close())

  test('a wrong password is refused', async () => {
    await withClient(kind, scene.berth, async (client) => {
      const wrong = { ...login, password: 'wrong' }
      await assert.rejects(client.pull(`${repository}:image`, wrong), /401|unauthorized/i)
    })
  })

  test('an image and an index are pulled byte by byte', async () => {
    await withClient(kind, scene.berth, (client) => pullBoth(kind, client, scene.images))
    kind.afterwards?.(scene.berth, scene.images)
  })

  test('they are pulled into an empty store while the upstream is dead', async () => {
    const { berth, upstream, images } = scene
    await upstream.stop()
    const hits = () => berth.metric('berth_cache_requests_total', ['kind="blob"', 'result="hit"'])
    const before = await hits()
    await withClient(kind, berth, (client) => pullBoth(kind, client, images))
    assert.ok((await hits()) - before >= images.image.blobs.length, 'blobs are hits')
  })
}

/**
 * Access tokens live two seconds, or five requests; those of the token endpoint not much longer; of
 * each second and a half only the first eight requests are answered. Blobs come from another host.
 */
async function pullInBadWeather(kind: ClientKind): Promise<void> {
  const upstream = await artifactRegistryUpstream({ grant: 'direct', life: { seconds: 4 } })
  const scene = await setScene(upstream)
  const { registry, storage, google } = upstream
  try {
    registry.delay(100)
    registry.behave({
      accessTokens: 'endpoint',
      tokenLife: { seconds: 2, requests: 5 },
      headOfManifests: false,
      storage,
      quota: { requests: 8, milliseconds: 1500, retryAfter: true },
    })
    await withClient(kind, scene.berth, (client) => pullBoth(kind, client, scene.images))
    assert.ok(registry.throttled() > 0, 'it was throttled')
    assert.ok(google.accessTokens.all().length > 1, 'access tokens expired')
    assert.ok(storage.requests.length > 0, 'blobs came from the object store')
    for (const { headers, status } of storage.requests) {
      assert.equal(headers.authorization, undefined)
      assert.ok(status === 200 || status === 206, `the object store answered ${status}`)
    }
  } finally {
    await scene.close()
  }
}

async function pullBoth(kind: ClientKind, client: Client, { image, index }: Images): Promise<void> {
  await client.pull(`${repository}:image`, login)
  await client.check(`${repository}:image`, [image])
  await client.pull(`${repository}:index`, login)
  const children = kind.pullsAll ? index.children : index.children.slice(0, 1)
  await client.check(`${repository}:index`, [index, ...children])
}

type Scene = {
  readonly upstream: Upstream
  readonly berth: BerthProcess
  readonly images: Images
  close(): Promise<void>
}

async function setScene(upstream: Upstream): Promise<Scene> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-scene-'))
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, await htpasswdLine(login))
  const images = await makeImages()
  await upstream.put(repository, 'image', images.image)
  await upstream.put(repository, 'index', images.index)
  const config = { ...upstream.config, tags: { ttl: '1s' } }
  const berth = await startBerthProcess({
    auth: { htpasswd },
    upstreams: [config, { ...config, prefix: mirrored }],
  })

  return {
    upstream,
    berth,
    images,
    close: async () => {
      const output = berth.output()
      await berth.close()
      await upstream.close()
      await rm(directory, { recursive: true, force: true })
      for (const secret of [login.password, ...upstream.secrets()])
        assert.ok(!output.includes(secret), 'a secret is in the log')
    },
  }
}

async function makeImages(): Promise<Images> {
  const [large, middle, small, tiny, plain] = await Promise.all([
    makeLayer('large', 24 * 1024 * 1024),
    makeLayer('middle', 3 * 1024 * 1024),
    makeLayer('small', 200 * 1024),
    makeLayer('tiny', 1),
    makeLayer('plain', 100 * 1024, false),
  ])
  const image = makeLayeredImage({ layers: [middle, large, small, tiny], docker: true })
  const index = makeIndex([
    makeLayeredImage({ layers: [small, plain], architecture: 'amd64' }),
    makeLayeredImage({ layers: [small, tiny], architecture: 'arm64' }),
  ])
  return { image, index }
}

/** What the machine's own architecture is, the first child of the index is for. */
async function withClient(
  kind: ClientKind,
  berth: BerthProcess,
  use: (client: Client) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-client-'))
  const client = await kind.start(berth.host, directory)
  try {
    await use(client)
  } finally {
    await client.close()
    await attempt(['rm', '-rf', '--one-file-system', directory])
  }
}

/** Everything by digest that these manifests stand for, themselves included; indexes without children. */
export function contentOf(images: readonly Image[]): ReadonlyMap<string, Buffer> {
  return new Map(
    images.flatMap(({ digest, bytes, blobs }) => [
      [digest as string, bytes] as const,
      ...blobs.map((blob) => [blob.digest as string, blob.bytes] as const),
    ]),
  )
}
