import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { runCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage, makeIndex } from '../support/images.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const [amd, arm] = [makeImage(), makeImage({ architecture: 'arm64' })]
const multi = makeIndex([amd, arm])
const upstream = await useUpstream()
const directory = await useDirectory()
const htpasswd = join(directory, 'htpasswd')
const passwordFile = join(directory, 'password')
const berth = useBerth({
  shared: true,
  config: {
    upstreams: [{ prefix: 'docker.io', url: upstream.url, tags: { ttl: '1h' } }],
    auth: {
      htpasswd,
      access: [
        { users: ['alice', 'carol'], repositories: ['**'], actions: ['pull'] },
        { users: ['carol'], repositories: ['**'], actions: ['delete'] },
      ],
    },
  },
})
before(async () => {
  upstream.put('library/app', 'v1', multi)
  const hash = await hashPassword('password', 4)
  await writeFile(htpasswd, `alice:${hash}\ncarol:${hash}\n`)
  await writeFile(passwordFile, 'password')
})

const image = (reference = ':v1') => `${new URL(berth.url).host}/docker.io/library/app${reference}`

async function berthOf(user: string, ...words: readonly string[]) {
  const { status, stdout, stderr } = await runCommand([
    ...words,
    ...['--username', user, '--password-file', passwordFile],
  ])
  return { status, stdout, stderr }
}
const run = async (...words: readonly string[]) => {
  const { status, stdout, stderr } = await berthOf('carol', ...words)
  assert.equal(status, 0, stdout + stderr)
  return stdout
}
const json = async (...words: readonly string[]) =>
  JSON.parse(await run(...words, '-o', 'json')).results

test('an image is prefetched, pinned, unpinned and evicted through the API of a Berth', async () => {
  assert.match(
    await run('prefetch', image(), '--platform', 'linux/arm64'),
    new RegExp(`^${image()}: ${multi.digest} is in the cache: 3 of 3 blobs, 264 KiB of 264 KiB\n$`),
  )
  assert.equal(upstream.count(amd.blobs[2]?.digest ?? ''), 0)
  const [pinned] = await json('pin', image())
  assert.deepEqual(
    [pinned.image, pinned.digest, pinned.stored],
    [image(), multi.digest, pinned.size],
  )
  const refused = await berthOf('carol', 'evict', image())
  assert.deepEqual([refused.status, refused.stdout.includes('unpin it first')], [1, true])
  assert.match(await run('unpin', image(`@${multi.digest}`)), /is no longer pinned/)
  assert.match(await run('unpin', image()), /was not pinned/)
  assert.match(await run('evict', '--dry-run', image()), /would free 3\d\d KiB/)
  const [evicted] = await json('evict', image())
  assert.ok(evicted.evicted && evicted.frees > 200_000)
})

test('a tag is refreshed, and the change is printed', async () => {
  await run('refresh', image())
  assert.match(await run('refresh', image()), new RegExp(`has not changed: ${multi.digest}`))
  upstream.put('library/app', 'v1', amd)
  assert.match(
    await run('refresh', image()),
    new RegExp(`changed from ${multi.digest} to ${amd.digest}`),
  )
})

test('one image that fails does not keep the others from being refreshed', async () => {
  const { status, stdout } = await berthOf('carol', 'refresh', image(':none'), image())
  assert.equal(status, 1)
  assert.match(
    stdout,
    /app:none: the upstream of docker.io\/library\/app has no tag none any more\n/,
  )
  assert.match(stdout, /app:v1: has not changed/)
})

test('what the user may not do, and a registry that is no Berth, are errors that say so', async () => {
  const denied = await berthOf('alice', 'pin', image())
  assert.equal(denied.status, 1)
  assert.match(denied.stdout, /alice may not delete|denied/i)
  const wrong = await runCommand(['refresh', `127.0.0.1:${upstream.port}/library/app:v1`])
  assert.equal(wrong.status, 1)
  assert.match(wrong.stdout, /it is not a Berth, or an older one/)
  const none = await runCommand(['refresh', image()])
  assert.equal(none.status, 1)
  assert.match(none.stdout, /credentials are required/)
})
