import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ImageSource } from '../../src/archive/archive.ts'
import { parseRepositoryName, parseTag, referrersTag } from '../../src/oci/reference.ts'
import { pushImage } from '../../src/transfer/transfer.ts'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { startFaultyRegistry } from '../support/faulty-uploads.ts'
import { type Image, makeImage } from '../support/images.ts'
import { changingSource, openRemote } from '../support/remotes.ts'

const name = parseRepositoryName('team/app')
const { signal } = new AbortController()

function sourceOf({ digest, bytes, mediaType, blobs }: Image): ImageSource {
  return {
    images: [{ names: [], digest }],
    manifest: async () => ({ digest, bytes, mediaType }),
    async *read({ digest: wanted }, { start = 0 } = {}) {
      yield blobs.find((blob) => blob.digest === wanted)?.bytes.subarray(start) ?? Buffer.alloc(0)
    },
    close: async () => {},
  }
}

test('what refers to another image is listed where the registry has no list of referrers, until it is deleted', async (t) => {
  const docker = await startDockerRegistry()
  t.after(() => docker.close())
  const { user: username, password } = docker.login
  const source = changingSource({ kind: 'password', username, password })
  const remote = openRemote({ url: docker.url, source, push: true })
  t.after(() => remote.close())
  const push = (image: Image, tags: readonly string[] = []) =>
    pushImage({
      source: sourceOf(image),
      image: image.digest,
      remote,
      name,
      tags: tags.map(parseTag),
      signal,
    })
  const image = makeImage()
  await push(image, ['v1'])
  assert.equal(await remote.resolve(name, referrersTag(image.digest)), undefined)
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }
  const signatures = ['one', 'two'].map((which) =>
    makeImage({ extra: { subject, artifactType: `application/x.${which}` } }),
  )
  const [first, second] = signatures as [Image, Image]
  await push(first)
  // With several tags it is put several times.
  await push(second, ['a', 'b'])
  const { descriptors } = await remote.referrers(name, image.digest)
  assert.deepEqual(
    descriptors,
    [first, second].map(({ digest, mediaType, bytes }, at) => ({
      mediaType,
      digest,
      size: bytes.length,
      artifactType: `application/x.${['one', 'two'][at]}`,
    })),
  )

  const passwordFile = join(await ownDirectory(t), 'password')
  await writeFile(passwordFile, password)
  const { host } = new URL(docker.url)
  const login = ['-u', username, '--password-file', passwordFile, '--plain-http']
  const deleted = await runCommand(['image', 'delete', `${host}/${name}@${first.digest}`, ...login])
  assert.equal(deleted.status, 0, deleted.stderr)
  assert.equal(deleted.stdout, `${host}/${name}@${first.digest}: deleted\n`)
  const left = await remote.referrers(name, image.digest)
  assert.deepEqual(left.descriptors, descriptors.slice(1))
})

test('what the registry refuses to list as a referrer is pushed, and the caller is told', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const remote = openRemote({ url: registry.url, push: true })
  t.after(() => remote.close())
  const refused = '{"errors":[{"code":"DENIED","message":"tags never change"}]}'
  registry.on(/^PUT .*\/manifests\/sha256-/, (response) =>
    response.writeHead(409, { 'content-type': 'application/json' }).end(refused),
  )
  const { mediaType, digest, bytes } = makeImage()
  const subject = { mediaType, digest, size: bytes.length }
  const signature = makeImage({ extra: { subject } })
  // It has what was put under a tag by its digest, too.
  registry.manifests.set(signature.digest, signature.bytes)
  const unlisted: string[] = []
  await pushImage({
    source: sourceOf(signature),
    image: signature.digest,
    remote,
    name,
    tags: ['a', 'b'].map(parseTag),
    onUnlisted: ({ message }) => void unlisted.push(message),
    signal,
  })
  assert.deepEqual(registry.manifests.get('b'), signature.bytes)
  assert.equal(unlisted.length, 1)
  assert.match(`${unlisted}`, /^cannot list sha256:.* tags never change/)
})
