import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  type ArtifactFile,
  filesAsArtifact,
  type ImageSource,
  titledFiles,
} from '../../src/archive/archive.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { bytesOf } from '../support/archives.ts'
import { ownDirectory } from '../support/directory.ts'

const artifactType = 'application/vnd.example.thing'
const platform = 'linux/amd64'

async function fileFor(t: TestContext, title: string, bytes: Buffer): Promise<ArtifactFile> {
  const path = join(await ownDirectory(t), 'file')
  await writeFile(path, bytes)
  return { path, title, mediaType: 'application/octet-stream' }
}

async function artifactOf(t: TestContext, files: readonly ArtifactFile[]) {
  const source = await filesAsArtifact(files, { artifactType })
  t.after(() => source.close())
  const [image] = source.images
  assert.ok(image)
  return { source, digest: image.digest }
}

/** A source of one manifest, whose layers are not read. */
function sourceOf(document: object): { source: ImageSource; digest: ReturnType<typeof digestOf> } {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...document }))
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const digest = digestOf(bytes)
  const source: ImageSource = {
    images: [{ names: [], digest }],
    manifest: async () => ({ digest, mediaType, bytes }),
    read: () => assert.fail('nothing is read'),
    close: async () => {},
  }
  return { source, digest }
}

const config = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: digestOf(Buffer.from('{}')),
  size: 2,
}
const layer = (title: string) => ({
  mediaType: 'application/octet-stream',
  digest: digestOf(Buffer.from(title)),
  size: title.length,
  annotations: { 'org.opencontainers.image.title': title },
})

test('files come back from an artifact, empty and equal ones too', async (t) => {
  const same = randomBytes(3_000_000)
  const contents = { 'a.bin': same, 'sub/b.bin': same, empty: Buffer.alloc(0) }
  const files = await Promise.all(
    Object.entries(contents).map(([title, bytes]) => fileFor(t, title, bytes)),
  )
  const { source, digest } = await artifactOf(t, files)
  const found = await titledFiles(source, digest, { platform })
  assert.deepEqual(
    found.map(({ title }) => title),
    Object.keys(contents),
  )
  for (const { title, chunks } of found)
    assert.deepEqual(await bytesOf(chunks), contents[title as keyof typeof contents])
  const { bytes } = await source.manifest(digest)
  const manifest = JSON.parse(bytes.toString())
  assert.equal(manifest.artifactType, artifactType)
  assert.equal(manifest.config.mediaType, 'application/vnd.oci.empty.v1+json')
  assert.equal((await bytesOf(source.read(manifest.config))).toString(), '{}')
  assert.deepEqual(await bytesOf(source.read(manifest.layers[0], { start: 5 })), same.subarray(5))
})

test('equal files give equal artifacts', async (t) => {
  const bytes = randomBytes(1000)
  const [one, two] = [
    await artifactOf(t, [await fileFor(t, 'a', bytes)]),
    await artifactOf(t, [await fileFor(t, 'a', bytes)]),
  ]
  assert.equal(one.digest, two.digest)
})

test('a file that changes after it was read is not sent', async (t) => {
  const file = await fileFor(t, 'a', randomBytes(1000))
  const { source, digest } = await artifactOf(t, [file])
  await appendFile(file.path, 'more')
  const [found] = await titledFiles(source, digest, { platform })
  assert.ok(found)
  await assert.rejects(bytesOf(found.chunks), { fault: 'changed' })
})

for (const title of ['../evil', '/etc/passwd', 'a/../../b', '.', 'a//b', 'a\\..\\b', 'a\0b', ''])
  test(`a title that leads elsewhere is refused: ${JSON.stringify(title)}`, async () => {
    const { source, digest } = sourceOf({ config, layers: [layer('fine'), layer(title)] })
    await assert.rejects(titledFiles(source, digest, { platform }), { fault: 'invalid' })
  })

test('two files of the same name, and layers without names, are no files', async () => {
  const twice = sourceOf({ config, layers: [layer('a'), layer('a')] })
  await assert.rejects(titledFiles(twice.source, twice.digest, { platform }), { fault: 'invalid' })
  const { annotations: _none, ...unnamed } = layer('a')
  const none = sourceOf({ config, layers: [unnamed] })
  const reason = { fault: 'not-an-image' }
  await assert.rejects(titledFiles(none.source, none.digest, { platform }), reason)
})
