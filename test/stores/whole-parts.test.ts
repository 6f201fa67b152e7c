import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import type { ContainerdImage } from '../../src/stores/containerd-image.ts'
import { wholeParts } from '../../src/stores/whole-parts.ts'
import { type Image, makeImage, makeIndex, manifestOf } from '../support/images.ts'

/** `index` as containerd has it, if `there` are the children that it has. */
function inContainerd(index: Image, there: readonly Image[], platforms: readonly string[]) {
  const manifests = new Map([index, ...there].map((each) => [each.digest, each]))
  const image: ContainerdImage = {
    digest: index.digest,
    isIndex: true,
    parts: index.children.map(({ digest }, at) => ({
      digest,
      platform: platforms[at] ?? digest,
      missing: manifests.has(digest) ? [] : [digest],
    })),
    source: {
      images: [{ names: [], digest: index.digest }],
      manifest: async (digest) => manifests.get(digest) ?? assert.fail(`read ${digest}`),
      read: () => assert.fail('reads no blob'),
      close: async () => {},
    },
  }
  return image
}

const platforms = ['linux/amd64', 'linux/arm64', 'linux/s390x']
const children = [makeImage(), makeImage({ architecture: 'arm64' }), makeImage()]
const [amd, arm, s390x] = children as [Image, Image, Image]

test('a whole index is left alone', async () => {
  const index = makeIndex(children)
  const { digest, note } = await wholeParts(inContainerd(index, children, platforms))
  assert.equal(digest, index.digest)
  assert.equal(note, undefined)
})

test('one platform keeps its digest', async () => {
  const { digest, note } = await wholeParts(inContainerd(makeIndex(children), [arm], platforms))
  assert.equal(digest, arm.digest)
  assert.match(note ?? '', /has linux\/arm64, and not linux\/amd64, linux\/s390x/)
})

test('several platforms become an index of their own, with all its other fields', async () => {
  const { manifests } = JSON.parse(makeIndex(children).bytes.toString('utf8'))
  const annotations = { a: 'b' }
  const index = manifestOf(
    'application/vnd.oci.image.index.v1+json',
    { manifests, annotations },
    { children },
  )
  const { digest, source } = await wholeParts(inContainerd(index, [amd, s390x], platforms))
  const { bytes } = await source.manifest(digest)
  assert.equal(digestOf(bytes), digest)
  assert.deepEqual(JSON.parse(bytes.toString('utf8')), {
    ...JSON.parse(index.bytes.toString('utf8')),
    manifests: [manifests[0], manifests[2]],
  })
})

test("an image without its attestations, as a kubelet pulls it, is pushed without BuildKit's index", async () => {
  const index = makeIndex([amd, arm])
  const image = inContainerd(index, [amd], ['linux/amd64', 'unknown/unknown'])
  const { digest, note } = await wholeParts(image)
  assert.equal(digest, amd.digest)
  assert.match(note ?? '', /has linux\/amd64, and not the attestations/)
})

test('an image that is nowhere whole is refused', async () => {
  await assert.rejects(wholeParts(inContainerd(makeIndex(children), [], platforms)), {
    fault: 'incomplete',
    message: /not 1 of its blobs .*discard_unpacked_layers/,
  })
})
