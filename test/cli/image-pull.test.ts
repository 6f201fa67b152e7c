import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openImageArchive } from '../../src/archive/archive.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { dockerImage, ociItems, readImage } from '../support/archives.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage, makeIndex } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { tarFile } from '../support/tar-file.ts'
import { startWebServer } from '../support/web-server.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

async function scene(t: TestContext) {
  const config = { upstreams: [], auth: { anonymous: 'rules', access: everything } }
  const berth = await startBerth({ config })
  t.after(() => removeBerth(berth))
  const index = makeIndex([makeImage(), makeImage({ architecture: 'arm64' })])
  const { push } = createPushClient(berth.url)
  await push('local/app', index, '1')
  const directory = await ownDirectory(t)
  const host = new URL(berth.url).host
  const pull = (...words: readonly string[]) => runCommand(['pull', ...words], { directory })
  return { app: `${host}/local/app`, host, index, directory, pull }
}

async function namesIn(tar: string): Promise<readonly string[]> {
  const bytes = await readFile(tar)
  const names = ['oci-layout', 'index.json', 'manifest.json']
  return names.filter((name) => bytes.includes(`${name}\0`))
}

test('an image is written in each format, for one platform or for all', async (t) => {
  const { app, index, directory, pull } = await scene(t)
  const at = (name: string) => join(directory, name)
  const arm = ['--platform', 'linux/arm64']
  const formats = [
    ['both', 'oci-layout index.json manifest.json'],
    ['oci', 'oci-layout index.json'],
    ['docker', 'manifest.json'],
  ] as const
  for (const [format, names] of formats) {
    const { status, stderr } = await pull(`${app}:1`, `${format}.tar`, '--format', format, ...arm)
    assert.equal(status, 0, stderr)
    assert.equal((await namesIn(at(`${format}.tar`))).join(' '), names)
    const bytes = await readFile(at(`${format}.tar`))
    for (const { digest } of index.children[1]?.blobs ?? [])
      assert.ok(bytes.includes(digest.slice(7)))
    assert.ok(!bytes.includes(index.children[0]?.blobs[1]?.digest.slice(7) ?? ''))
  }
  assert.equal((await pull(`${app}:1`, 'all.tar', '--all', '--format', 'oci')).status, 0)
  const source = await openImageArchive(at('all.tar'))
  assert.equal(source.images[0]?.digest, index.digest)
  await source.close()
  const other = await pull(`${app}:1`, 'none.tar', '--platform', 'linux/s390x')
  assert.equal(other.status, 1)
  assert.match(other.stderr, /not for linux\/s390x, but for linux\/amd64, linux\/arm64/)
  assert.deepEqual((await readdir(directory)).toSorted(), [
    'all.tar',
    'both.tar',
    'docker.tar',
    'oci.tar',
  ])
})

test('a docker archive alone can be pushed again, with the same layers', async (t) => {
  const { host, directory, pull } = await scene(t)
  const image = dockerImage('app:1')
  await writeFile(join(directory, 'app.tar'), tarFile(ociItems(image)))
  const push = ['image', 'push', '-q', 'app.tar', `${host}/local/docker:1`]
  assert.equal((await runCommand(push, { directory })).status, 0)
  assert.equal((await pull(`${host}/local/docker:1`, 'back.tar', '--format', 'docker')).status, 0)
  const source = await openImageArchive(join(directory, 'back.tar'), {
    compression: { kind: 'none' },
  })
  t.after(() => source.close())
  const [found] = source.images
  assert.ok(found)
  assert.deepEqual(found.names, [`${host}/local/docker:1`])
  const { layers } = await readImage(source, found.digest)
  assert.deepEqual(
    layers.map(({ digest }) => digest),
    image.layers.map((layer) => digestOf(layer)),
  )
})

test('a directory becomes an OCI layout, if it is new or empty', async (t) => {
  const { app, index, directory, pull } = await scene(t)
  await mkdir(join(directory, 'empty'))
  for (const name of ['new', 'empty']) {
    const { status, stderr } = await pull(`${app}:1`, `${name}/`, '--all')
    assert.equal(status, 0, stderr)
    const source = await openImageArchive(join(directory, name))
    assert.equal(source.images[0]?.digest, index.digest)
    await source.close()
  }
  const again = await pull(`${app}:1`, 'new/')
  assert.equal(again.status, 1)
  assert.match(again.stderr, /new is not empty/)
  assert.deepEqual((await readdir(directory)).toSorted(), ['empty', 'new'])
})

test('files are pushed as an artifact, and come back into a directory', async (t) => {
  const { host, directory, pull } = await scene(t)
  await mkdir(join(directory, 'sub'))
  await writeFile(join(directory, 'a.txt'), 'one')
  await writeFile(join(directory, 'sub/b.json'), '{}')
  const image = `${host}/local/files:1`
  const type = ['--artifact', '--artifact-type', 'application/vnd.example.files']
  const files = ['a.txt', 'sub/b.json:application/json', image]
  const push = ['image', 'push', '-q', ...type, '--annotation', 'k=v', '-t', 'also', ...files]
  const pushed = await runCommand(push, { directory })
  assert.equal(pushed.status, 0, pushed.stderr)
  for (const name of [image, `${host}/local/files:also`])
    assert.equal((await pull('--unpack', name, 'back/')).status, 0)
  assert.equal(await readFile(join(directory, 'back/a.txt'), 'utf8'), 'one')
  assert.equal(await readFile(join(directory, 'back/sub/b.json'), 'utf8'), '{}')
  const one = await pull('--unpack', image, 'back.txt')
  assert.match(one.stderr, /more than one file.*name a directory/)
  const docker = await pull(image, 'x.tar', '--format', 'docker')
  assert.match(docker.stderr, /no image that docker can load/)
  assert.deepEqual((await readdir(directory)).toSorted(), ['a.txt', 'back', 'sub'])
  const directories = ['image', 'push', '--artifact', 'sub', image]
  assert.match((await runCommand(directories, { directory })).stderr, /sub is a directory/)
})

for (const target of ['app.tar', 'layout/'])
  test(`Ctrl-C removes what is half written, and exits with 130: ${target}`, async (t) => {
    const image = makeImage()
    const begun = Promise.withResolvers<void>()
    const server = await startWebServer(({ path }, response) => {
      const blob = image.blobs.find(({ digest }) => path.endsWith(digest))
      response.setHeader('content-type', blob ? 'application/octet-stream' : image.mediaType)
      if (blob === undefined || blob === image.blobs[0])
        return void response.end(blob?.bytes ?? image.bytes)
      // The rest never comes.
      response.setHeader('content-length', blob.bytes.length)
      response.write(blob.bytes.subarray(0, 1000))
      begun.resolve()
    })
    t.after(server.close)
    const directory = await ownDirectory(t)
    const command = startCommand(['pull', `127.0.0.1:${server.port}/app:1`, target], { directory })
    await begun.promise
    command.signal('SIGINT')
    const { status, stdout, stderr } = await command.finished
    assert.deepEqual({ status, stdout, stderr }, { status: 130, stdout: '', stderr: '' })
    assert.deepEqual(await readdir(directory), [])
  })

test('devices and FIFOs are written into, and a link stays one', async (t) => {
  const { app, directory, pull } = await scene(t)
  const at = (name: string) => join(directory, name)
  // `berth pull … /dev/null` as root once left a regular file at /dev/null.
  execFileSync('mkfifo', [at('fifo')])
  const reader = readFile(at('fifo'))
  assert.equal((await pull(`${app}:1`, 'fifo')).status, 0)
  assert.ok((await lstat(at('fifo'))).isFIFO())
  await writeFile(at('old.tar'), 'old')
  await symlink('old.tar', at('link.tar'))
  assert.equal((await pull(`${app}:1`, 'link.tar')).status, 0)
  assert.ok((await lstat(at('link.tar'))).isSymbolicLink())
  assert.deepEqual(await readFile(at('old.tar')), await reader)
})

test('a message names the file that cannot be written, and what to do', async (t) => {
  const { app, directory, pull } = await scene(t)
  await mkdir(join(directory, 'there'))
  for (const [file, message] of [
    ['no/app.tar', 'cannot write no/app.tar: its directory does not exist; create it'],
    ['there', 'cannot write there: it is a directory; name a file'],
  ] as const) {
    const { status, stderr } = await pull(`${app}:1`, file)
    assert.equal(status, 1)
    assert.ok(stderr.startsWith(`berth: ${message}`), stderr)
  }
})
