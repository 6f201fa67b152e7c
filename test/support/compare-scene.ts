import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { hashPassword } from '../../src/auth/auth.ts'
import { createListDirectory, putList } from '../../src/in-use/in-use.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { startBerthProcess } from './berth-process.ts'
import { startDockerRegistry } from './docker-registry.ts'
import { type Blob, blobOf, type Image, makeIndex, manifestOf } from './images.ts'
import { hostileText, logins } from './page-scene.ts'
import { createPushClient, type PushClient } from './push-client.ts'
import { type TarItem, tarFile } from './tar-file.ts'

/** A Berth with two versions of an image, which run both, and users as in the page's scene. */
export interface CompareScene {
  readonly url: string
  readonly alice: PushClient
  readonly images: Images
  close(): Promise<void>
}

type Images = ReturnType<typeof makeImages>

/** Files of the large image. */
export const manyFiles = 3000

export async function startCompareScene(): Promise<CompareScene> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-compare-'))
  const htpasswd = join(directory, 'htpasswd')
  const lines = Object.values(logins).map(
    async ({ username, password }) => `${username}:${await hashPassword(password, 4)}`,
  )
  await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  const images = makeImages()
  const { v1, v2 } = images
  const app = 'registry.example:5000/local/shop/app'
  const lists = join(directory, 'data/hosted/_berth/in-use')
  await putList(createListDirectory(lists), 'berlin', `${app}:latest@${v1.digest}`)
  for (const cluster of ['oslo', 'paris'])
    await putList(createListDirectory(lists), cluster, `${app}:latest@${v2.digest}`)

  const upstream = await startDockerRegistry()
  const credentials = {
    type: 'static',
    username: upstream.login.user,
    password: upstream.login.password,
  }
  const berth = await startBerthProcess({
    storage: { directory: join(directory, 'data') },
    upstreams: [{ prefix: 'upstream', url: upstream.url, credentials }],
    ui: { pullHost: 'registry.example:5000' },
    auth: {
      htpasswd,
      access: [
        { users: ['alice'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
        { users: ['bob'], repositories: ['local/shop/**'], actions: ['pull'] },
      ],
    },
  })
  const url = `http://${berth.host}`
  const alice = createPushClient(url, `${logins.alice.username}:${logins.alice.password}`)
  await alice.push('local/shop/app', v1, '1.0', 'latest')
  await alice.push('local/shop/app', v2, '1.1', 'latest')
  await alice.push('local/shop/app', images.many, 'many')
  await alice.push('local/shop/fork', v2, '1.1')
  await upstream.put('team/cached', 'v1', v1)
  await upstream.put('team/cached', 'v2', v2)
  // Manifests and configs are fetched, and layers are not.
  for (const reference of [
    'v1',
    'v2',
    ...[v1, v2].flatMap(({ children }) => children).map(digestOf),
  ])
    await alice.send('GET', `upstream/team/cached/manifests/${reference}`)
  return {
    url,
    alice,
    images,
    close: async () => {
      await berth.close()
      await upstream.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function digestOf({ digest }: Image): string {
  return digest
}

function makeImages() {
  const base = layerOf([
    { name: 'etc/', type: '5', mode: 0o755 },
    { name: 'etc/os-release', content: 'ID=test\n' },
  ])
  const old = layerOf([
    { name: 'opt/app', content: Buffer.alloc(40_000, 'a'), mode: 0o755 },
    { name: 'opt/legacy.conf', content: 'old\n' },
  ])
  const settings = { Env: ['PATH=/bin', 'MODE=slow'], Entrypoint: ['/opt/app'] }
  const v1 = makeIndex([
    imageOf([base, old], 'amd64', settings),
    imageOf([base], 'arm64', settings),
  ])
  const amd64 = layerOf([
    { name: 'opt/app', content: Buffer.alloc(90_000, 'b'), mode: 0o755 },
    { name: 'opt/current', type: '2', linkName: 'app' },
    { name: `opt/${hostileText.replaceAll('/', '')}`, content: 'text' },
  ])
  const changed = {
    Env: ['PATH=/bin', 'MODE=fast', `NOTE=${hostileText}`],
    Entrypoint: ['/opt/app', '--port', '8080'],
    Labels: { 'org.opencontainers.image.version': '1.1' },
  }
  const v2 = makeIndex([
    imageOf([base, amd64], 'amd64', changed),
    imageOf([base], 'arm64', settings),
    imageOf([base], 's390x', changed),
  ])
  const files = Array.from({ length: manyFiles }, (_, at) => ({
    name: `srv/data/${String(at).padStart(4, '0')}.json`,
    content: '{}',
  }))
  const many = imageOf([base, old, layerOf(files)], 'amd64', settings)
  return { v1, v2, many }
}

function layerOf(items: readonly TarItem[]): Blob {
  return blobOf(gzipSync(tarFile(items)))
}

function imageOf(layers: readonly Blob[], architecture: string, config: object): Image {
  const blob = blobOf(
    Buffer.from(
      JSON.stringify({
        architecture,
        os: 'linux',
        config,
        rootfs: { type: 'layers', diff_ids: [] },
        history: layers.map((_layer, at) => ({
          created_by:
            at === 0 ? 'ADD rootfs.tar / # buildkit' : `RUN make ${architecture} # buildkit`,
        })),
      }),
    ),
  )
  const describe = ({ digest, bytes }: Blob, mediaType: string) => ({
    ...{ mediaType, digest, size: bytes.length },
  })
  return manifestOf(
    mediaTypes.ociManifest,
    {
      config: describe(blob, 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => describe(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
    },
    { blobs: [blob, ...layers] },
  )
}
