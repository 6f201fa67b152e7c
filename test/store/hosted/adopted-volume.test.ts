import assert from 'node:assert/strict'
import { mkdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { createUploadId } from '../../../src/oci/upload-id.ts'
import { layerLink, tagDirectory, uploadDirectory } from '../../../src/store/hosted/layout.ts'
import { readSession } from '../../../src/store/hosted/session-files.ts'
import { blobDirectory, blobsDirectory, repositoriesDirectory } from '../../../src/store/paths.ts'
import { createRunId } from '../../../src/store/store.ts'
import { ownDirectory } from '../../support/directory.ts'
import { flipBlob } from '../../support/disk.ts'
import { all, app, hostedStore, pushBlob, startUpload } from '../../support/hosted-store.ts'
import { makeImage, randomBlob } from '../../support/images.ts'
import { writeVolume } from '../../support/volume.ts'
import { d, tag } from '../link-store.conformance.ts'

test('what is strange on a volume is not listed, and does no harm', async (t) => {
  const root = await ownDirectory(t)
  const image = makeImage()
  await writeVolume(root, app, 'v1', image)
  const blobs = blobsDirectory(root)
  await mkdir(join(blobs, 'sha256', 'zz', 'no digest'), { recursive: true })
  await mkdir(join(blobs, 'md5', 'ab', 'ab'.repeat(16)), { recursive: true })
  // Distribution leaves the directories of links and blobs that it has removed.
  await mkdir(blobDirectory(root, d('gone')), { recursive: true })
  await mkdir(dirname(layerLink(root, app, d('gone')).path), { recursive: true })
  await writeFile(join(blobs, 'sha256', 'file'), '')
  await writeFile(join(repositoriesDirectory(root), '.DS_Store'), '')
  await mkdir(join(repositoriesDirectory(root), 'lost+found'))
  await mkdir(join(repositoriesDirectory(root), app, '_uploads', 'no-uuid'), { recursive: true })
  await symlink('.', join(repositoriesDirectory(root), 'loop'))

  const { store } = await hostedStore(t, root)
  assert.equal((await all(store.blobs.list())).length, 4)
  assert.equal((await all(store.links.blobsOf(app))).length, 3)
  assert.ok((await store.links.repositories()).includes(app))
  assert.deepEqual(await all(store.uploads.list()), [])
  assert.equal(await store.blobs.remove(d('gone'), createRunId()), false)
})

test('directories that somebody removes while Berth runs are created again', async (t) => {
  const { root, store } = await hostedStore(t)
  const blob = randomBlob(2_000_000)
  for (const path of [blobsDirectory(root), join(root, 'docker'), join(root, 'tmp'), root]) {
    await pushBlob(store, blob)
    await store.links.addManifest(app, d('m'))
    await store.links.setTag(app, tag('v1'), d('m'))
    await rm(path, { recursive: true })
    await pushBlob(store, blob)
    await store.links.addManifest(app, d('m'))
    await store.links.setTag(app, tag('v1'), d('m'))
    assert.ok((await store.blobs.read(blob.digest, 2_000_000))?.equals(blob.bytes), path)
    assert.deepEqual(await store.links.tags(app), ['v1'])
  }
})

test('a push of a corrupt blob repairs it', async (t) => {
  const { root, store } = await hostedStore(t)
  const blob = randomBlob(2_000_000)
  await pushBlob(store, blob)
  await flipBlob(root, blob.digest, 1_000_000)
  assert.equal(await store.blobs.read(blob.digest, 2_000_000), undefined)
  await pushBlob(store, blob)
  assert.ok((await store.blobs.read(blob.digest, 2_000_000))?.equals(blob.bytes))
})

test('a tag of which only the history is left is set again', async (t) => {
  const { root, store } = await hostedStore(t)
  await store.links.setTag(app, tag('v1'), d('m'))
  await rm(join(tagDirectory(root, app, tag('v1')), 'current'), { recursive: true })
  assert.equal(await store.links.tag(app, tag('v1')), undefined)
  await store.links.setTag(app, tag('v1'), d('n'))
  const history = await store.links.tagHistory(app, tag('v1'))
  assert.deepEqual(
    history.map(({ digest }) => digest),
    [d('n'), d('m')],
  )
})

test('a session whose files are damaged has no writer, and can be cancelled', async (t) => {
  const { root, store } = await hostedStore(t)
  await store.links.addBlob(app, d('x'))
  const id = createUploadId()
  const directory = uploadDirectory(root, app, id)
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.oneof(fc.string(), fc.json()), async (startedAt, session) => {
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, 'startedat'), startedAt)
      await writeFile(join(directory, 'session'), session)
      const read = await readSession(directory)
      assert.ok(read && Number.isFinite(read.startedAt) && typeof read.writer === 'string')
    }),
    { numRuns: 50 },
  )
  await writeFile(join(directory, 'session'), '{"writer": "user a')
  await mkdir(join(directory, 'hashstates', 'sha256'), { recursive: true })
  const upload = await store.uploads.open(app, id)
  assert.equal(upload?.writer, '')
  await upload?.cancel()
  assert.deepEqual(await all(store.uploads.list()), [])
})

test('the start of a session is that of Distribution, in RFC 3339', async (t) => {
  const { root, store } = await hostedStore(t)
  const { id } = await startUpload(store)
  const text = await readFile(join(uploadDirectory(root, app, id), 'startedat'), 'utf8')
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
})

test('a time in the future on the volume does no harm (C80)', async (t) => {
  const { root, store } = await hostedStore(t)
  await store.links.setTag(app, tag('v1'), d('m'))
  const link = join(tagDirectory(root, app, tag('v1')), 'current', 'link')
  await utimes(link, 4e9, 4e9)
  await store.links.setTag(app, tag('v1'), d('n'))
  const history = await store.links.tagHistory(app, tag('v1'))
  assert.equal(history[0]?.digest, d('n'))
  assert.equal((await store.links.tag(app, tag('v1')))?.digest, d('n'))
})
