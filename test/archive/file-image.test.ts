import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileAsImage, openImageArchive, titledFiles } from '../../src/archive/archive.ts'
import { archiveBytes } from '../../src/archive/write-archive.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { bytesOf, dockerImage, ociItems } from '../support/archives.ts'
import { ownDirectory } from '../support/directory.ts'
import { tarFile } from '../support/tar-file.ts'

const anyDigest = digestOf(Buffer.alloc(0))
const platform = 'linux/amd64'

test('a file comes back from its image with the same bytes and name', async (t) => {
  const directory = await ownDirectory(t)
  const names = ['hello.txt', 'x'.repeat(200), 'ü ñ.bin']
  for (const [at, size] of [0, 1, 511, 512, 513, 3_000_000].entries()) {
    const name = names[at % names.length] ?? ''
    const bytes = randomBytes(size)
    await writeFile(join(directory, name), bytes)
    const source = await fileAsImage(join(directory, name))
    const [file] = await titledFiles(source, source.images[0]?.digest ?? anyDigest, { platform })
    assert.ok(file)
    const { title, chunks } = file
    assert.equal(title, name)
    assert.deepEqual(await bytesOf(chunks), bytes)
    await source.close()
  }
})

test('equal files give equal images, for both platforms of nodes', async (t) => {
  const [one, two] = [await ownDirectory(t), await ownDirectory(t)]
  const digests = []
  for (const directory of [one, two]) {
    await writeFile(join(directory, 'a.bin'), 'same')
    const source = await fileAsImage(join(directory, 'a.bin'))
    const [image] = source.images
    digests.push(image?.digest)
    const { bytes } = await source.manifest(image?.digest ?? anyDigest)
    const { manifests } = JSON.parse(bytes.toString()) as { manifests: { platform: object }[] }
    assert.deepEqual(
      manifests.map((each) => each.platform),
      [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64' },
      ],
    )
    await source.close()
  }
  assert.equal(digests[0], digests[1])
})

test('an image that is not one file is not unpacked', async (t) => {
  const path = join(await ownDirectory(t), 'app.tar')
  await writeFile(path, tarFile(ociItems(dockerImage('app:1'))))
  const source = await openImageArchive(path)
  t.after(() => source.close())
  const unpacked = titledFiles(source, source.images[0]?.digest ?? anyDigest, { platform })
  await assert.rejects(unpacked, { fault: 'not-an-image' })
})

test('an archive that is written can be opened, with the same digests and names', async (t) => {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'model.bin'), randomBytes(100_000))
  await writeFile(join(directory, 'app.tar'), tarFile(ociItems(dockerImage('app:1'))))
  for (const source of [
    await fileAsImage(join(directory, 'model.bin')),
    await openImageArchive(join(directory, 'app.tar')),
  ]) {
    const images = source.images.map((image) => ({ ...image, names: ['host.example/app:1.2'] }))
    const path = join(directory, 'written.tar')
    await writeFile(path, await bytesOf(archiveBytes(source, images, { platform })))
    const again = await openImageArchive(path)
    assert.deepEqual(again.images, images)
    await again.close()
    await source.close()
  }
})
