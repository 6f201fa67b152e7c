import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { settle } from '../support/remotes.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

/**
 * KEP-2535: for a pod with other credentials the kubelet has the image checked again though the node
 * has it. Each check is a HEAD of the tag, and of the digest, by another user.
 */
const name = 'team/app'
const image = makeImage()
const access = [
  { users: ['first', 'second'], repositories: ['team/**'], actions: ['pull'] },
  { users: ['stranger'], repositories: ['other/**'], actions: ['pull'] },
]
const upstream = await useUpstream()
upstream.put(name, 'v1', image)
const htpasswd = join(await useDirectory(), 'htpasswd')
const lines = ['first', 'second', 'stranger'].map(
  async (user) => `${user}:${await hashPassword(`password of ${user}`, 4)}`,
)
await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
const tags = { ttl: '60s', staleIfError: '24h' }
const berth = useBerth({
  config: { upstreams: [{ url: upstream.url, tags }], auth: { htpasswd, access } },
})
beforeEach(async () => {
  for (const reference of ['v1', image.digest])
    assert.equal((await check('first', reference, 'GET')).status, 200)
})

function check(user: string, reference: string, method = 'HEAD') {
  const headers =
    user === '' ? {} : { authorization: `Basic ${basicOf(user, `password of ${user}`)}` }
  return get(`${berth.url}/v2/${name}/manifests/${reference}`, { method, headers })
}

/** The second user may, the stranger may not, and who is nobody has to log in. */
async function assertChecks(tag: 'hit' | 'stale'): Promise<void> {
  for (const [reference, cache] of [
    ['v1', tag],
    [image.digest, 'hit'],
  ] as const) {
    for (const method of ['HEAD', 'GET']) {
      const { status, headers, body } = await check('second', reference, method)
      assert.deepEqual([status, headers['x-cache']], [200, cache], `${method} ${reference}`)
      assert.equal(headers['docker-content-digest'], image.digest)
      assert.equal(headers['content-length'], String(image.bytes.length))
      if (method === 'GET') assert.deepEqual(body, image.bytes)
      assert.equal((await check('stranger', reference, method)).status, 403)
      assert.equal((await check('nobody', reference, method)).status, 401)
      assert.equal((await check('', reference, method)).status, 401)
    }
  }
}

test('an image that is checked again for other users asks the upstream nothing (issue 10, point 25)', async () => {
  const before = upstream.requests.length
  for (let times = 0; times < 5; times += 1) await assertChecks('hit')
  assert.equal(upstream.requests.length, before)
})

test('an image that is checked again while the upstream is down is theirs who may have it, and nobody else’s (issue 10, point 25)', async (t) => {
  const clock = useForwardClock(t)
  await upstream.stop()
  try {
    clock.advance(3_600_000)
    await settle()
    await assertChecks('stale')
    await berth.restart()
    await assertChecks('stale')
  } finally {
    await upstream.start()
  }
})
