import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { type Berth, checkInvariants, removeBerth, startBerth } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { codeOf, get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Image, makeImage, makeIndex, manifestOf, randomBlob } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { until } from '../support/until.ts'
import { volumePath, writeVolume } from '../support/volume.ts'

const name = 'local/team/app'
const image = makeImage()
const index = makeIndex([makeImage(), makeImage()])
const signature: Image = manifestOf(mediaTypes.ociManifest, {
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: image.digest, size: 2 },
  layers: [],
})
const referrers = makeIndex([signature])
const damaged = makeImage({ layers: [randomBlob(300)] })
const halfGone = makeImage({ layers: [randomBlob(400)] })

let root: string
let berth: Berth

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'berth-volume-'))
  await writeVolume(root, name, 'v1', image)
  await writeVolume(root, name, 'multi', index)
  await writeVolume(root, name, image.digest.replace(':', '-'), referrers)
  await writeVolume(root, 'local/other', 'v1', makeImage())
  await writeVolume(root, 'local/damaged', 'v1', damaged)
  await writeFile(volumePath(root, damaged.digest), 'no manifest')
  await writeVolume(root, 'local/half', 'v1', halfGone)
  await rm(volumePath(root, halfGone.blobs.at(-1)?.digest ?? ''))
  await writeVolume(root, 'elsewhere/app', 'v1', makeImage())
  berth = await startBerth({
    config: {
      upstreams: [{ url: 'http://127.0.0.1:9' }],
      storage: { hosted: { directory: root } },
      auth: {
        access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
      },
    },
  })
})
after(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
  await rm(root, { recursive: true, force: true })
})

async function list(path: string): Promise<Record<string, unknown>> {
  const { status, body } = await get(`${berth.url}/v2/${path}`)
  assert.equal(status, 200, body.toString())
  return JSON.parse(body.toString())
}

test('what Distribution has left on a volume is pulled as it was, by tag and by digest', async () => {
  for (const [wanted, tag] of [
    [image, 'v1'],
    [index, 'multi'],
  ] as const) {
    for (const reference of [tag, wanted.digest]) {
      const { status, headers, body } = await get(`${berth.url}/v2/${name}/manifests/${reference}`)
      assert.equal(status, 200)
      assert.deepEqual(body, wanted.bytes)
      assert.equal(headers['content-type'], wanted.mediaType)
      assert.equal(headers['docker-content-digest'], wanted.digest)
      assert.equal(headers['x-cache'], undefined, 'no cache has to do with it')
    }
    for (const { digest, bytes } of [wanted, ...wanted.children].flatMap(({ blobs }) => blobs)) {
      const whole = await get(`${berth.url}/v2/${name}/blobs/${digest}`)
      assert.deepEqual(whole.body, bytes)
      const part = await get(`${berth.url}/v2/${name}/blobs/${digest}`, {
        headers: { range: 'bytes=10-19' },
      })
      assert.equal(part.status, 206)
      assert.deepEqual(part.body, bytes.subarray(10, 20))
    }
  }
})

test('its tags, its referrers by their tag, and its repositories are listed', async () => {
  const { tags } = await list(`${name}/tags/list`)
  assert.deepEqual(tags, ['multi', image.digest.replace(':', '-'), 'v1'].toSorted())
  const { manifests } = await list(`${name}/referrers/${image.digest}`)
  assert.equal((manifests as unknown[]).length, 1)
  const { repositories } = await list('_catalog')
  assert.deepEqual(repositories, ['local/damaged', 'local/half', name, 'local/other'].toSorted())
})

test('the tree is not walked for each request for the catalogue (8, 53)', async () => {
  const before = await list('_catalog?n=1')
  await writeVolume(root, 'local/newer', 'v1', makeImage())
  assert.deepEqual(await list('_catalog?n=1'), before)
  const all = await list('_catalog')
  assert.ok(!(all['repositories'] as unknown[]).includes('local/newer'))
})

test('a manifest that was unlinked is not answered from memory (8)', async () => {
  const gone = makeImage()
  await writeVolume(root, 'local/gone', 'v1', gone)
  const url = `${berth.url}/v2/local/gone/manifests/${gone.digest}`
  assert.equal((await get(url)).status, 200)
  const [algorithm = '', hex = ''] = gone.digest.split(':')
  const revisions = join(root, 'docker/registry/v2/repositories/local/gone/_manifests/revisions')
  await rm(join(revisions, algorithm, hex), { recursive: true })
  assert.equal((await get(url)).status, 404)
})

test('what the volume does not have is unknown, and never asked of an upstream', async () => {
  for (const [path, code] of [
    [`${name}/manifests/v9`, 'MANIFEST_UNKNOWN'],
    [`local/none/manifests/v1`, 'MANIFEST_UNKNOWN'],
    [`local/other/blobs/${image.blobs.at(-1)?.digest}`, 'BLOB_UNKNOWN'],
  ] as const) {
    const reply = await get(`${berth.url}/v2/${path}`)
    assert.equal(reply.status, 404, path)
    assert.equal(codeOf(reply), code)
  }
})

test('what it has lost, or what has rotted, is a fault of ours and no 404', async () => {
  const lost = halfGone.blobs.at(-1)?.digest
  for (const path of [
    `local/damaged/manifests/v1`,
    `local/damaged/manifests/${damaged.digest}`,
    `local/half/blobs/${lost}`,
  ]) {
    const reply = await get(`${berth.url}/v2/${path}`)
    assert.equal(reply.status, 500, `${path}: ${reply.body}`)
    assert.match(reply.body.toString(), /on disk/)
  }
})

test('an adopted volume is pushed to, and what was on it stays as it was', async () => {
  const client = createPushClient(berth.url)
  const pushed = makeImage()
  await client.push(name, pushed, 'new')
  for (const [reference, { bytes }] of [
    ['new', pushed],
    ['v1', image],
    ['multi', index],
  ] as const)
    assert.deepEqual((await get(`${berth.url}/v2/${name}/manifests/${reference}`)).body, bytes)
  assert.equal((await client.send('DELETE', `${name}/manifests/new`)).status, 202)
  assert.equal((await client.send('DELETE', `${name}/manifests/${pushed.digest}`)).status, 202)
})

test('without a rule nobody may push or delete, not even where there are no users', async (t) => {
  const open = await startBerth({
    config: {
      upstreams: [{ url: 'http://127.0.0.1:9' }],
      storage: { hosted: { directory: root } },
    },
  })
  t.after(() => removeBerth(open))
  for (const path of [name, 'project/repo/image'])
    for (const [method, rest] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/v1'],
      ['DELETE', `blobs/${image.digest}`],
    ] as const) {
      const reply = await get(`${open.url}/v2/${path}/${rest}`, { method })
      assert.equal(reply.status, 403, `${method} ${path}`)
      assert.match(reply.body.toString(), /no rule under auth\.access allows it/)
    }
  assert.equal((await get(`${open.url}/v2/${name}/manifests/v1`)).status, 200)
})

test('a volume that is only served stays as it is, to the last file', async (t) => {
  const adopted = await ownDirectory(t)
  await writeVolume(adopted, name, 'v1', image)
  const filesOf = async () => (await readdir(adopted, { recursive: true })).toSorted()
  const before = await filesOf()
  const reader = await startBerth({
    config: { upstreams: [], storage: { hosted: { directory: adopted } } },
  })
  t.after(() => removeBerth(reader))
  await until('the index is complete', async () =>
    assert.doesNotMatch((await get(`${reader.admin}/readyz`)).body.toString(), /index of hosted/),
  )
  for (const path of [`${name}/manifests/v1`, `${name}/tags/list`, '_catalog'])
    assert.equal((await get(`${reader.url}/v2/${path}`)).status, 200)
  await reader.stop()
  assert.deepEqual(await filesOf(), before)
})

suite('hosted prefixes where anonymous users may pull', () => {
  const start = async (t: TestContext, anonymous: 'none' | 'pull') => {
    const htpasswd = join(await ownDirectory(t), 'htpasswd')
    await writeFile(htpasswd, `alice:${await hashPassword('p', 4)}`)
    const berth = await startBerth({
      config: {
        storage: { hosted: { directory: root } },
        auth: {
          htpasswd,
          anonymous,
          access: [{ users: ['alice'], repositories: ['local/team/**'], actions: ['pull'] }],
        },
        hosted: [{ prefix: 'local' }, { prefix: 'elsewhere', anonymous: 'pull' }],
      },
    })
    t.after(() => removeBerth(berth))
    return async (path: string, user?: string) => {
      const headers = user === undefined ? {} : { authorization: `Basic ${basicOf(user, 'p')}` }
      return (await get(`${berth.url}/v2/${path}/manifests/v1`, { headers })).status
    }
  }

  test('are those that say so, and who logs in gets no less there', async (t) => {
    const ask = await start(t, 'pull')
    assert.equal(await ask('elsewhere/app'), 200)
    assert.equal(await ask('elsewhere/app', 'alice'), 200)
    assert.equal(await ask('local/team/app'), 401)
    assert.equal(await ask('local/team/app', 'alice'), 200)
    assert.equal(await ask('local/other', 'alice'), 403)
  })

  test('are none, unless auth.anonymous lets anonymous users in', async (t) => {
    const ask = await start(t, 'none')
    assert.equal(await ask('elsewhere/app'), 401)
    assert.equal(await ask('elsewhere/app', 'alice'), 403)
  })
})
