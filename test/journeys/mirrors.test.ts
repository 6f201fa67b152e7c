import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { codeOf, get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'

/** dockerd sends no `?ns=`, no prefix and no password to `registry-mirrors`, and skips one that requires a password. */
suite('a mirror listener for dockerd, with users and another default upstream', () => {
  const image = makeImage()
  let hub: ScriptedUpstream
  let project: ScriptedUpstream
  const berth = useBerth({ shared: true })
  let directory: string
  let mirror: string

  before(async () => {
    hub = await startScriptedUpstream()
    hub.put('library/busybox', 'latest', image)
    project = await startScriptedUpstream({ host: '127.0.0.2' })
    project.put('project/repo/app', 'v1', image)
    directory = await mkdtemp(join(tmpdir(), 'berth-mirrors-'))
    const htpasswd = join(directory, 'htpasswd')
    await writeFile(htpasswd, `alice:${await hashPassword('p', 4)}`)
    const password = { type: 'static', username: 'u', password: 'p' }
    await berth.start({
      config: {
        auth: { htpasswd },
        upstreams: [
          { url: project.url, credentials: password, anonymous: 'pull' },
          { prefix: 'docker.io', url: hub.url },
        ],
        mirrors: [{ listen: '127.0.0.1:0' }],
      },
    })
    mirror = `http://127.0.0.1:${berth.service.mirrors[0]?.addresses[0]?.port}/v2/`
  })
  after(async () => {
    await hub.close()
    await project.close()
    await rm(directory, { recursive: true, force: true })
  })

  test('requires no password, and ignores one for Docker Hub', async () => {
    for (const headers of [{}, { authorization: `Basic ${basicOf('hub-user', 'wrong')}` }]) {
      const { status, headers: received } = await get(mirror, { headers })
      assert.equal(status, 200)
      assert.equal(received['www-authenticate'], undefined)
      const pulled = await get(`${mirror}library/busybox/manifests/latest`, { headers })
      assert.equal(pulled.status, 200)
      assert.deepEqual(pulled.body, image.bytes)
    }
    for (const { digest, bytes } of image.blobs)
      assert.deepEqual((await get(`${mirror}library/busybox/blobs/${digest}`)).body, bytes)
    assert.equal((await get(`${berth.url}/v2/`)).status, 401)
  })

  test("shares the cache with its upstream's prefix", async () => {
    const headers = { authorization: `Basic ${basicOf('alice', 'p')}` }
    const [blob] = image.blobs
    const path = `docker.io/library/busybox/blobs/${blob?.digest}`
    const { headers: answered } = await get(`${berth.url}/v2/${path}`, { headers })
    assert.equal(answered['x-cache'], 'hit')
  })

  test('serves no other upstream by any name', async () => {
    for (const namespace of ['', '?ns=localhost', `?ns=${new URL(project.url).host}`]) {
      const reply = await get(`${mirror}project/repo/app/manifests/v1${namespace}`)
      assert.equal(reply.status, 404, namespace)
      assert.match(codeOf(reply) ?? '', /^(MANIFEST|NAME)_UNKNOWN$/)
    }
    assert.equal(project.requests.length, 0)
  })

  test('rejects pushes', async () => {
    const { status } = await get(`${mirror}library/busybox/blobs/uploads/`, { method: 'POST' })
    assert.equal(status, 403)
  })
})
