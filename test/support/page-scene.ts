import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashPassword } from '../../src/auth/auth.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { eventually } from './berth.ts'
import { type BerthProcess, startBerthProcess } from './berth-process.ts'
import { removeDirectory } from './directory.ts'
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts'
import { type Blob, blobOf, type Image, makeIndex, manifestOf } from './images.ts'
import { type Layer, makeLayer } from './layered-images.ts'
import { createPushClient, type PushClient } from './push-client.ts'

/** A Berth with images of all kinds, and three users. */
export interface PageScene {
  readonly berth: BerthProcess
  readonly url: string
  readonly alice: PushClient
  readonly upstream: DockerRegistry
  readonly images: Images
  /** Until it is in force, and the password before is not. */
  changePassword(user: keyof typeof logins, password: string): Promise<void>
  close(): Promise<void>
}

type Images = Awaited<ReturnType<typeof pushImages>>

export const logins = {
  /** May do everything. */
  alice: { username: 'alice', password: 'password of alice' },
  /** May only pull, and only from `local/shop/`. */
  bob: { username: 'bob', password: 'password of bob' },
  /** May only pull, and only what is cached. */
  dave: { username: 'dave', password: 'password of dave' },
} as const

/** The header of Basic authentication, as a browser sends it. */
export function loginHeader(user: keyof typeof logins): Readonly<Record<'authorization', string>> {
  const { username, password } = logins[user]
  return {
    authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
  }
}

/** Text that would be a script, or leave its element, if a page believed it. */
export const hostileText = `"><img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script>`

/** As long as a tag may be, without a place to break it. */
const longWord = 'long'.repeat(32)

/** With more configuration. */
export async function startPageScene(
  config: Readonly<Record<string, unknown>> = {},
): Promise<PageScene> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-page-'))
  const htpasswd = join(directory, 'htpasswd')
  const writePasswords = async (changed: Readonly<Record<string, string>> = {}) => {
    const lines = Object.values(logins).map(
      async ({ username, password }) =>
        `${username}:${await hashPassword(changed[username] ?? password, 4)}`,
    )
    await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  }
  await writePasswords()
  const upstream = await startDockerRegistry()
  const { url: upstreamUrl, login } = upstream
  const credentials = { type: 'static', username: login.user, password: login.password }
  const berth = await startBerthProcess({
    upstreams: [{ prefix: 'upstream', url: upstreamUrl, credentials }],
    ui: { title: 'Berth of the tests', pullHost: 'registry.example:5000' },
    auth: {
      htpasswd,
      access: [
        { users: ['alice'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
        { users: ['bob'], repositories: ['local/shop/**'], actions: ['pull'] },
        { users: ['dave'], repositories: ['upstream/**'], actions: ['pull'] },
      ],
    },
    ...config,
  })
  const url = `http://${berth.host}`
  const { username, password } = logins.alice
  const alice = createPushClient(url, `${username}:${password}`)
  return {
    berth,
    url,
    alice,
    upstream,
    images: await pushImages(alice, upstream),
    changePassword: async (user, password) => {
      await writePasswords({ [user]: password })
      const { send } = createPushClient(url, `${user}:${password}`)
      await eventually('the password is in force', async () => {
        return (await send('GET', '/v2/')).status === 200
      })
    },
    close: async () => {
      await berth.close()
      await upstream.close()
      await removeDirectory(directory)
    },
  }
}

async function pushImages(alice: PushClient, upstream: DockerRegistry) {
  const base = await makeLayer('base', 300_000)
  const amd64 = imageOf([base, await makeLayer('amd64', 40_000)], 'amd64')
  const arm64 = imageOf([base, await makeLayer('arm64', 50_000)], 'arm64')
  const riscv64 = imageOf([base], 'riscv64')
  const multi = makeIndex([amd64, arm64])
  await alice.push('local/shop/api', multi, 'latest', '1.10', '1.9')
  await alice.push(
    'local/shop/api',
    imageOf([base, await makeLayer('old', 900_000)], 'amd64'),
    '1.2',
  )
  await alice.push('local/shop/web', amd64, 'latest')
  await alice.push('local/tools/debug', amd64, 'latest')

  const partly = withPlatforms([amd64, riscv64])
  await alice.push('local/shop/partly', amd64)
  await alice.putManifest('local/shop/partly', 'latest', partly)

  const signature = referrerOf(multi, 'application/vnd.dev.sigstore.bundle.v0.3+json')
  await alice.push('local/shop/api', signature)
  await alice.push('local/shop/api', referrerOf(signature, 'application/spdx+json'))

  const hostile = imageOf([base, await makeLayer('hostile', 100)], 'amd64', {
    [hostileText]: hostileText,
    '': 'a label without a name',
    'org.opencontainers.image.url': 'javascript:alert(1)',
  })
  await alice.push('local/hostile/app', hostile, 'a-_.', longWord)
  await alice.push('local/charts/web', chartOf(), '0.3.0')

  await upstream.put('team/cached', 'v1', multi)
  await alice.send('GET', 'upstream/team/cached/manifests/v1')
  await alice.send('GET', `upstream/team/cached/manifests/${amd64.digest}`)
  for (const { digest } of amd64.blobs) {
    const response = await alice.send('GET', `upstream/team/cached/blobs/${digest}`)
    await response.arrayBuffer()
  }
  return { amd64, arm64, riscv64, multi, partly, hostile, signature }
}

function imageOf(
  layers: readonly Layer[],
  architecture: string,
  labels: Readonly<Record<string, string>> = { 'org.opencontainers.image.title': 'shop' },
): Image {
  const config = blobOf(
    Buffer.from(
      JSON.stringify({
        architecture,
        os: 'linux',
        created: '2026-01-02T03:04:05Z',
        author: labels[hostileText],
        config: {
          User: 'app',
          Env: ['PATH=/usr/bin:/bin', `NOTE=${labels[hostileText] ?? 'none'}`],
          Entrypoint: ['/opt/app', '--port', '8080'],
          Cmd: ['serve'],
          WorkingDir: '/opt',
          ExposedPorts: { '8080/tcp': {} },
          Volumes: { '/data': {} },
          Labels: labels,
        },
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
        history: [
          ...layers.map((_layer, at) => ({
            created: '2026-01-02T03:04:05Z',
            created_by:
              at === 0
                ? '/bin/sh -c #(nop) ADD file:1a2b in / '
                : `RUN /bin/sh -c make ${labels[hostileText] ?? 'all'} && make install # buildkit`,
          })),
          { created_by: 'ENTRYPOINT ["/opt/app"]', comment: 'buildkit', empty_layer: true },
        ],
      }),
    ),
  )
  return manifestOf(
    mediaTypes.ociManifest,
    {
      config: describe(config, 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => describe(layer, layer.mediaType)),
      annotations: labels[hostileText] && { [hostileText]: hostileText },
    },
    { blobs: [config, ...layers] },
  )
}

function withPlatforms(images: readonly Image[]): Image {
  const platforms = ['amd64', 'riscv64']
  return manifestOf(
    mediaTypes.ociIndex,
    {
      manifests: images.map(({ digest, mediaType, bytes }, at) => ({
        ...{ mediaType, digest, size: bytes.length },
        platform: { os: 'linux', architecture: platforms[at] },
      })),
    },
    {},
  )
}

function referrerOf({ digest, mediaType, bytes }: Image, artifactType: string): Image {
  const config = blobOf(Buffer.from('{}'))
  const content = blobOf(Buffer.from(JSON.stringify({ about: digest })))
  return manifestOf(
    mediaTypes.ociManifest,
    {
      artifactType,
      config: describe(config, 'application/vnd.oci.empty.v1+json'),
      layers: [describe(content, 'application/json')],
      subject: { mediaType, digest, size: bytes.length },
    },
    { blobs: [config, content] },
  )
}

function chartOf(): Image {
  const config = blobOf(
    Buffer.from(
      JSON.stringify({
        apiVersion: 'v2',
        name: 'web',
        version: '0.3.0',
        appVersion: '1.10',
        description: `The web shop ${longWord}`,
        home: 'javascript:alert(1)',
        keywords: ['shop'],
        dependencies: [{ name: 'redis', version: '20.x', repository: 'oci://charts.example' }],
      }),
    ),
  )
  const content = blobOf(Buffer.from('a chart'))
  return manifestOf(
    mediaTypes.ociManifest,
    {
      config: describe(config, 'application/vnd.cncf.helm.config.v1+json'),
      layers: [describe(content, 'application/vnd.cncf.helm.chart.content.v1.tar+gzip')],
    },
    { blobs: [config, content] },
  )
}

function describe({ digest, bytes }: Blob, mediaType: string) {
  return { mediaType, digest, size: bytes.length }
}
