import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { blobsOnDisk, checkVolume, uploadsOnDisk } from '../support/hosted-volume.ts'
import { type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { codeIn, createPushClient } from '../support/push-client.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

async function start(t: TestContext, config: Readonly<Record<string, unknown>> = {}) {
  let current = await startBerth({
    config: { upstreams: [], auth: { access: everything }, ...config },
  })
  t.after(() => removeBerth(current))
  const restart = async (): Promise<Berth> => {
    current = await current.restart()
    return current
  }
  const berth = current
  return { berth, restart, client: createPushClient(berth.url), root: rootOf(berth) }
}

function rootOf({ directory }: Berth): string {
  return join(directory, 'data', 'hosted')
}

async function assertPulled({ url }: Berth, name: string, tag: string, image: Image) {
  const { status, body, headers } = await get(`${url}/v2/${name}/manifests/${tag}`)
  assert.equal(status, 200)
  assert.deepEqual(body, image.bytes)
  assert.equal(headers['content-type'], image.mediaType)
  for (const { blobs } of [image, ...image.children])
    for (const { digest, bytes } of blobs)
      assert.deepEqual((await get(`${url}/v2/${name}/blobs/${digest}`)).body, bytes)
}

async function check(berth: Berth, root: string) {
  const tags = await checkVolume(root)
  await checkInvariants(berth)
  return tags
}

test('what was pushed is pulled, listed, and there after a restart (H114)', async (t) => {
  const { berth, restart, client, root } = await start(t)
  const [image, index] = [makeImage(), makeIndex([makeImage(), makeImage({ docker: true })])]
  await client.push('local/app', image, 'v1', 'latest')
  await client.push('local/team/multi', index, 'v1')
  await assertPulled(berth, 'local/app', 'latest', image)
  const list = async (url: string, path: string) =>
    JSON.parse((await get(`${url}/v2/${path}`)).body.toString())
  assert.deepEqual(await list(berth.url, 'local/app/tags/list'), {
    name: 'local/app',
    tags: ['latest', 'v1'],
  })
  assert.deepEqual(await list(berth.url, '_catalog'), {
    repositories: ['local/app', 'local/team/multi'],
  })
  const again = await restart()
  await assertPulled(again, 'local/app', 'v1', image)
  await assertPulled(again, 'local/team/multi', 'v1', index)
  assert.equal((await check(again, root)).length, 3)
})

test('an upload that a restart interrupts goes on where it was', async (t) => {
  const { restart, client, root } = await start(t)
  const { digest, bytes } = randomBlob(300_000)
  const location = await client.start('local/app')
  const first = await client.send('PATCH', location, {
    body: Uint8Array.from(bytes.subarray(0, 100_000)),
  })
  assert.equal(first.headers.get('range'), '0-99999')
  const again = await restart()
  const later = createPushClient(again.url)
  assert.equal((await later.send('GET', location)).headers.get('range'), '0-99999')
  const last = await later.send('PUT', `${location}?digest=${digest}`, {
    body: Uint8Array.from(bytes.subarray(100_000)),
    headers: { 'content-range': '100000-299999' },
  })
  assert.equal(last.status, 201)
  assert.deepEqual((await get(`${again.url}/v2/local/app/blobs/${digest}`)).body, bytes)
  assert.deepEqual(await uploadsOnDisk(root), [])
  await check(again, root)
})

test('a wrong digest is 400, in one request too, and leaves nothing behind (H118)', async (t) => {
  const { berth, client, root } = await start(t)
  const [pushed, named] = [randomBlob(1000), randomBlob(1000)]
  const body = Uint8Array.from(pushed.bytes)
  const location = await client.start('local/app')
  for (const response of [
    await client.send('PUT', `${location}?digest=${named.digest}`, { body }),
    await client.send('POST', `local/app/blobs/uploads/?digest=${named.digest}`, { body }),
  ]) {
    assert.equal(response.status, 400)
    assert.equal(await codeIn(response), 'DIGEST_INVALID')
  }
  for (const digest of ['sha256:no', `md5:${'0'.repeat(32)}`, '']) {
    const other = await client.start('local/app')
    const response = await client.send('PUT', `${other}?digest=${digest}`, { body })
    assert.equal(response.status, 400)
    assert.equal(await codeIn(response), 'DIGEST_INVALID')
    assert.equal((await client.send('GET', other)).status, 204)
    assert.equal((await client.send('DELETE', other)).status, 204)
  }
  assert.deepEqual([await blobsOnDisk(root), await uploadsOnDisk(root)], [[], []])
  await check(berth, root)
})

test('chunks for another place are 416, and the session goes on (H116)', async (t) => {
  const { berth, client, root } = await start(t)
  const { digest, bytes } = randomBlob(3000)
  const location = await client.start('local/app')
  const chunk = (method: string, path: string, range: string, from: number, to: number) =>
    client.send(method, path, {
      body: Uint8Array.from(bytes.subarray(from, to)),
      headers: { 'content-range': range },
    })
  assert.equal((await chunk('PATCH', location, '0-999', 0, 1000)).status, 202)
  for (const [range, from, to] of [
    ['0-999', 0, 1000],
    ['500-1499', 500, 1500],
    ['2000-2999', 2000, 3000],
    ['nonsense', 1000, 2000],
    ['1000-1000', 1000, 2000],
  ] as const)
    for (const [method, path] of [
      ['PATCH', location],
      ['PUT', `${location}?digest=${digest}`],
    ] as const) {
      const refused = await chunk(method, path, range, from, to)
      assert.equal(refused.status, 416, `${method} ${range}: ${await refused.text()}`)
      const status = await client.send('GET', location)
      assert.equal(status.status, 204)
      assert.equal(status.headers.get('range'), '0-999')
      assert.equal(status.headers.get('location'), location)
    }
  assert.equal((await chunk('PATCH', location, '1000-1999', 1000, 2000)).status, 202)
  assert.equal(
    (await chunk('PUT', `${location}?digest=${digest}`, '2000-2999', 2000, 3000)).status,
    201,
  )
  await check(berth, root)
})

test('abandoned uploads end after their time, and none that is in use (H120)', async (t) => {
  const { berth, client, root } = await start(t, { storage: { hosted: { uploadExpiry: '2s' } } })
  const hosted = join(berth.directory, 'data', 'hosted')
  assert.equal(root, hosted)
  const { digest, bytes } = randomBlob(8000)
  const abandoned = await client.start('local/app')
  const active = await client.start('local/app')
  await eventually('the abandoned session ends', async () => {
    await client.send('PATCH', active, { body: Uint8Array.from(bytes.subarray(0, 1)) })
    return (await client.send('GET', abandoned)).status === 404
  })
  const { headers } = await client.send('GET', active)
  const size = Number(headers.get('range')?.slice(2)) + 1
  await client.send('DELETE', active)
  assert.ok(size > 0, digest)
  await check(berth, root)
})

test('deleting a tag, a manifest and a blob, and what remains (H128)', async (t) => {
  const { berth, client, root } = await start(t)
  const [image, other] = [makeImage(), makeImage()]
  await client.push('local/app', image, 'v1', 'latest')
  await client.push('local/app', other, 'v2')
  const status = async (method: string, path: string) =>
    (await client.send(method, `local/app/${path}`)).status
  assert.equal(await status('DELETE', 'manifests/v1'), 202)
  assert.equal(await status('DELETE', 'manifests/v1'), 404)
  assert.equal(await status('HEAD', 'manifests/v1'), 404)
  await assertPulled(berth, 'local/app', 'latest', image)
  const layer = image.blobs.at(-1)?.digest
  assert.equal(await status('DELETE', `blobs/${layer}`), 405)
  assert.equal(await status('DELETE', `manifests/${image.digest}`), 202)
  for (const reference of [image.digest, 'latest'])
    assert.equal(await status('HEAD', `manifests/${reference}`), 404)
  assert.equal(await status('DELETE', `blobs/${layer}`), 202)
  assert.equal(await status('HEAD', `blobs/${layer}`), 404)
  await assertPulled(berth, 'local/app', 'v2', other)
  assert.deepEqual(await check(berth, root), [
    { name: 'local/app', tag: 'v2', digest: other.digest },
  ])
})

test('a registry that is read-only denies every write and changes nothing (H129)', async (t) => {
  const { berth, client, root } = await start(t)
  const image = makeImage()
  await client.push('local/app', image, 'v1')
  await berth.stop()
  const config = {
    upstreams: [],
    auth: { access: everything },
    storage: { hosted: { directory: root, readOnly: true } },
  }
  const readOnly = await startBerth({ config })
  t.after(() => removeBerth(readOnly))
  const reader = createPushClient(readOnly.url)
  for (const [method, path] of [
    ['POST', 'local/app/blobs/uploads/'],
    ['POST', `local/app/blobs/uploads/?mount=${image.digest}&from=local/app`],
    ['PUT', 'local/app/manifests/v2'],
    ['DELETE', 'local/app/manifests/v1'],
    ['DELETE', `local/app/manifests/${image.digest}`],
    ['DELETE', `local/app/blobs/${image.blobs[0]?.digest}`],
  ] as const) {
    const response = await reader.send(method, path)
    assert.equal(response.status, 405, `${method} ${path}`)
    assert.match(await response.text(), /storage\.hosted\.readOnly is set/)
  }
  await assertPulled(readOnly, 'local/app', 'v1', image)
  await checkVolume(root)
})

test('a reader of the volume never keeps its writer from writing', async (t) => {
  const { berth, restart, client, root } = await start(t)
  await client.push('local/app', makeImage(), 'v1')
  await berth.stop()
  const reader = await startBerth({
    config: { upstreams: [], storage: { hosted: { directory: root, readOnly: true } } },
  })
  t.after(() => removeBerth(reader))
  const writer = createPushClient((await restart()).url)
  const image = makeImage()
  await writer.push('local/app', image, 'v2')
  await assertPulled(reader, 'local/app', 'v2', image)
})

test('a second Berth on the volume serves it, and writes nothing until the first one has ended', async (t) => {
  const { berth, client, root } = await start(t)
  const image = makeImage()
  await client.push('local/app', image, 'v1')
  const second = await startBerth({
    config: {
      upstreams: [],
      auth: { access: everything },
      storage: { hosted: { directory: root } },
    },
  })
  t.after(() => removeBerth(second))
  await assertPulled(second, 'local/app', 'v1', image)
  const other = createPushClient(second.url)
  const refused = await other.send('POST', 'local/app/blobs/uploads/')
  assert.equal(refused.status, 503)
  assert.match(await refused.text(), new RegExp(`another Berth, process ${process.pid}`))
  const ready = await get(`${second.admin}/readyz`)
  assert.equal(ready.status, 200)
  assert.match(ready.body.toString(), /read-only: another Berth/)
  await berth.stop()
  await eventually('the second writes', async () => {
    return (await other.send('POST', 'local/app/blobs/uploads/')).status === 202
  })
})

suite('access to hosted repositories', () => {
  const rules = [
    { users: ['*'], repositories: ['local/public/**'], actions: ['pull'] },
    {
      users: ['ci'],
      repositories: ['local/**'],
      except: ['local/secret/**'],
      actions: ['pull', 'push'],
    },
    { users: ['root'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
  ]
  const startWithUsers = async (t: TestContext) => {
    const htpasswd = join(await ownDirectory(t), 'htpasswd')
    const lines = ['ci', 'root', 'eve'].map(async (user) => `${user}:${await hashPassword('p', 4)}`)
    await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
    const { berth, root } = await start(t, { auth: { htpasswd, access: rules } })
    const as = (user: string) => createPushClient(berth.url, `${user}:p`)
    return { berth, root, as }
  }
  const answer = async (response: Response) => [response.status, await codeIn(response)]

  test('private and missing repositories look the same to those without rights', async (t) => {
    const { root, as } = await startWithUsers(t)
    const image = makeImage()
    await as('root').push('local/secret/app', image, 'v1')
    const blob = image.blobs[0]?.digest
    for (const user of ['ci', 'eve'])
      for (const [method, path] of [
        ['GET', 'manifests/v1'],
        ['GET', `blobs/${blob}`],
        ['GET', 'tags/list'],
        ['GET', `referrers/${image.digest}`],
        ['POST', 'blobs/uploads/'],
        ['PUT', 'manifests/v1'],
        ['DELETE', 'manifests/v1'],
        ['DELETE', `blobs/${blob}`],
      ] as const) {
        const there = await as(user).send(method, `local/secret/app/${path}`)
        const missing = await as(user).send(method, `local/secret/none/${path}`)
        assert.equal(there.status, 403, `${user} ${method} ${path}`)
        assert.equal(
          (await there.text()).replaceAll('secret/app', 'secret/none'),
          await missing.text(),
        )
        assert.equal(missing.status, 403)
      }
    const { repositories } = (await (await as('ci').send('GET', '/v2/_catalog')).json()) as {
      repositories: unknown
    }
    assert.deepEqual(repositories, [])
    await checkVolume(root)
  })

  test('a blob is mounted only from where the client may pull, and no answer says what is elsewhere (H135)', async (t) => {
    const { as } = await startWithUsers(t)
    const [secret, open] = [randomBlob(100), randomBlob(100)]
    await as('root').pushBlob('local/secret/app', secret)
    await as('root').pushBlob('local/team/app', open)
    const mount = async (digest: string, from?: string) => {
      const query = `mount=${digest}${from === undefined ? '' : `&from=${from}`}`
      return as('ci').send('POST', `local/mine/blobs/uploads/?${query}`)
    }
    const missing = randomBlob(100).digest
    const shapeOf = ({ status, headers }: Response) =>
      [status, headers.get('range'), headers.get('location')?.replace(/[0-9a-f-]{36}$/, '…')].join()
    const refusals = await Promise.all([
      mount(secret.digest, 'local/secret/app'),
      mount(secret.digest, 'local/secret/none'),
      mount(missing, 'local/secret/app'),
      mount(missing, 'local/team/app'),
      mount(secret.digest),
      mount(missing),
    ])
    assert.deepEqual(
      [...new Set(refusals.map(shapeOf))],
      ['202,0-0,/v2/local/mine/blobs/uploads/…'],
    )
    assert.equal((await mount(open.digest, 'local/team/app')).status, 201)
    assert.equal((await as('ci').send('HEAD', `local/mine/blobs/${open.digest}`)).status, 200)
    assert.equal((await as('ci').send('HEAD', `local/mine/blobs/${secret.digest}`)).status, 404)
  })

  test('an upload session is of the user who started it', async (t) => {
    const { as } = await startWithUsers(t)
    const location = await as('ci').start('local/app')
    const wrong = location.replace(/[0-9a-f]{12}$/, '000000000000')
    const theirs = await as('root').send('GET', location)
    const nobodys = await as('root').send('GET', wrong)
    assert.deepEqual(await answer(theirs), await answer(nobodys))
    assert.equal((await as('ci').send('GET', location)).status, 204)
  })

  test('a user who may push may not delete, and one who may pull may not push', async (t) => {
    const { as } = await startWithUsers(t)
    const image = makeImage()
    await as('ci').push('local/public/app', image, 'v1')
    for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${image.digest}`])
      assert.equal((await as('ci').send('DELETE', `local/public/app/${path}`)).status, 403)
    assert.equal((await as('eve').send('GET', 'local/public/app/manifests/v1')).status, 200)
    assert.equal((await as('eve').send('POST', 'local/public/app/blobs/uploads/')).status, 403)
  })
})

test('a pushed name never shadows an upstream, nor the other way round (H137)', async (t) => {
  const { berth, client, root } = await start(t, {
    upstreams: [{ prefix: '', url: 'http://127.0.0.1:9' }],
    hosted: [{ prefix: 'local' }],
  })
  const image = makeImage()
  await client.push('local/app', image, 'v1')
  for (const name of ['app', 'localapp/x', 'library/app']) {
    const response = await client.send('POST', `${name}/blobs/uploads/`)
    assert.equal(response.status, 405, name)
    assert.equal(await codeIn(response), 'UNSUPPORTED')
  }
  await assertPulled(berth, 'local/app', 'v1', image)
  await checkVolume(root)
})

test('the embedded default takes pushes below local/, without any setting', async (t) => {
  const { berth, client } = await start(t, {
    auth: {
      access: [
        { users: ['*'], repositories: ['**'], actions: ['pull'] },
        { users: ['*'], repositories: ['local/**'], actions: ['push', 'delete'] },
      ],
    },
  })
  const image = makeImage()
  await client.push('local/app', image, '1.2')
  await assertPulled(berth, 'local/app', '1.2', image)
  assert.equal((await client.send('POST', 'other/app/blobs/uploads/')).status, 403)
})

test('ten clients push the same image at once under different tags (H121, H122)', async (t) => {
  const { berth, client, root } = await start(t)
  const image = makeImage()
  const tags = Array.from({ length: 10 }, (_, at) => `v${at % 5}`)
  await Promise.all(tags.map((tag) => client.push('local/app', image, tag)))
  assert.deepEqual((await blobsOnDisk(root)).length, image.blobs.length + 1)
  assert.deepEqual(await uploadsOnDisk(root), [])
  assert.equal((await check(berth, root)).length, 5)
})
