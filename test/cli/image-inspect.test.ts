import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { runCommand } from '../support/command.ts'
import { blobOf, makeIndex, manifestOf, randomBlob } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const type = 'application/vnd.oci.image'

/** With all that an image can say. */
function fullImage(architecture: string) {
  const config = blobOf(
    Buffer.from(
      JSON.stringify({
        architecture,
        os: 'linux',
        created: '2024-05-06T07:08:09.123Z',
        author: 'somebody',
        config: {
          User: '1000',
          Env: ['PATH=/bin', 'EVIL=\u001b[2J'],
          Entrypoint: ['/app', '--flag'],
          Cmd: null,
          Labels: { stage: 'test' },
          ExposedPorts: { '8080/tcp': {} },
        },
        rootfs: { type: 'layers', diff_ids: [] },
        history: [
          { created_by: 'ADD file' },
          { created_by: 'ENV PATH', empty_layer: true },
          { created_by: 'RUN make\n  all' },
        ],
      }),
    ),
  )
  const layers = [randomBlob(2000), randomBlob(3_000_000)]
  const describe = (blob: typeof config, kind: string) => ({
    mediaType: `${type}.${kind}`,
    digest: blob.digest,
    size: blob.bytes.length,
  })
  const fields = {
    config: describe(config, 'config.v1+json'),
    layers: layers.map((layer) => describe(layer, 'layer.v1.tar+gzip')),
    annotations: { 'org.example.key': `value of ${architecture}` },
  }
  return manifestOf(`${type}.manifest.v1+json`, fields, { blobs: [config, ...layers] })
}

async function scene(t: TestContext) {
  const config = { upstreams: [], auth: { anonymous: 'rules', access: everything } }
  const berth = await startBerth({ config })
  t.after(() => removeBerth(berth))
  const index = makeIndex([fullImage('amd64'), fullImage('arm64')])
  const { push } = createPushClient(berth.url)
  await push('local/app', index, '1')
  const empty = blobOf(Buffer.from('{}'))
  const descriptor = { mediaType: `${type}.empty.v1+json`, digest: empty.digest, size: 2 }
  const signature = manifestOf(
    `${type}.manifest.v1+json`,
    {
      artifactType: 'application/vnd.example.signature',
      config: { ...descriptor, mediaType: 'application/vnd.oci.empty.v1+json' },
      layers: [descriptor],
      subject: { mediaType: index.mediaType, digest: index.digest, size: index.bytes.length },
    },
    { blobs: [empty] },
  )
  await push('local/app', signature, 'sig')
  const image = `${new URL(berth.url).host}/local/app`
  const inspect = (...words: readonly string[]) => runCommand(['image', 'inspect', ...words])
  return { image, inspect, index, signature }
}

test('an image is described for people: platforms, config, layers, annotations, referrers', async (t) => {
  const { image, inspect, index, signature } = await scene(t)
  const { status, stdout } = await inspect(`${image}:1`, '--platform', 'linux/arm64')
  assert.equal(status, 0)
  const arm = index.children[1]
  for (const line of [
    `Digest: +${index.digest}`,
    'Size: +5.7 MiB',
    'Created: +2024-05-06T07:08:09Z',
    `  linux/amd64 +${index.children[0]?.digest} +2.9 MiB +2024-05-06T07:08:09Z`,
    `  application/vnd.example.signature +${signature.digest} .* the image`,
    'Image for linux/arm64 .*',
    `Digest: +${arm?.digest}`,
    'User: +1000',
    'Entrypoint: +\\["/app","--flag"\\]',
    'Ports: +8080/tcp',
    '  stage: test',
    '  org.example.key: value of arm64',
    `  ${arm?.blobs[2]?.digest} +2.9 MiB .*layer.v1.tar\\+gzip +RUN make all`,
  ])
    assert.match(stdout, new RegExp(`^${line}$`, 'm'))
  assert.doesNotMatch(stdout, /Command:|amd64.*value/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a registry must not move the cursor
  assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f]/)
})

test('programs get all of it as JSON, by tag and by digest', async (t) => {
  const { image, inspect, index, signature } = await scene(t)
  const byTag = JSON.parse((await inspect(`${image}:1`, '-o', 'json')).stdout)
  assert.equal(byTag.digest, index.digest)
  assert.equal(byTag.images.length, 2)
  assert.equal(byTag.images[0].config.config.User, '1000')
  assert.equal(byTag.images[1].blobs.length, 3)
  assert.equal(byTag.manifest.manifests.length, 2)
  assert.equal(byTag.referrers[0].digest, signature.digest)
  const { image: _tag, ...rest } = byTag
  const byDigest = await inspect(`${image}@${index.digest}`, '-o', 'json')
  const { image: named, ...same } = JSON.parse(byDigest.stdout)
  assert.equal(named, `${image}@${index.digest}`)
  assert.deepEqual(same, rest)
})

test('--raw prints the bytes that the digest is of, of an index or of one platform', async (t) => {
  const { image, inspect, index } = await scene(t)
  const raw = await inspect(`${image}:1`, '--raw')
  assert.equal(digestOf(Buffer.from(raw.stdout)), index.digest)
  const child = await inspect(`${image}:1`, '--raw', '--platform', 'linux/amd64')
  assert.equal(digestOf(Buffer.from(child.stdout)), index.children[0]?.digest)
})

test('an artifact and a platform that is not there', async (t) => {
  const { image, inspect } = await scene(t)
  const artifact = await inspect(`${image}:sig`)
  assert.match(artifact.stdout, /^Artifact type: +application\/vnd.example.signature$/m)
  const other = await inspect(`${image}:1`, '--platform', 'windows/amd64')
  assert.equal(other.status, 1)
  assert.match(other.stderr, /not for windows\/amd64, but for linux\/amd64, linux\/arm64/)
})
