import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { removeBerth, startBerth } from '../support/berth.ts'
import { runCommand } from '../support/command.ts'
import { makeImage } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

async function berthFor(t: TestContext) {
  const config = { upstreams: [], auth: { anonymous: 'rules', access: everything } }
  const berth = await startBerth({ config })
  t.after(() => removeBerth(berth))
  const { push } = createPushClient(berth.url)
  const image = makeImage()
  await push('local/app', image, '1', '2', '3')
  await push('local/app', makeImage(), 'other')
  const app = `${new URL(berth.url).host}/local/app`
  const tags = async () => (await runCommand(['image', 'list', app])).stdout.trim().split('\n')
  return { app, image, tags }
}

const deletion = (...words: readonly string[]) => runCommand(['image', 'delete', ...words])

test('a tag goes alone, several go together, and one that is not there is no error', async (t) => {
  const { app, image, tags } = await berthFor(t)
  const { status, stdout } = await deletion(`${app}:1`, `${app}:none`, `${app}:2`)
  assert.equal(status, 0)
  const lines = [`${app}:1: deleted`, `${app}:none: was not there`, `${app}:2: deleted`]
  assert.equal(stdout, `${lines.join('\n')}\n`)
  assert.deepEqual(await tags(), ['3', 'other'])
  const digest = await runCommand(['image', 'inspect', `${app}@${image.digest}`])
  assert.equal(digest.status, 0)
})

test('an image with other tags is kept, they are named, and the status is 2', async (t) => {
  const { app, image, tags } = await berthFor(t)
  for (const words of [[`${app}@${image.digest}`], ['--digest', `${app}:2`]]) {
    const { status, stdout } = await deletion(...words)
    assert.equal(status, 2)
    assert.match(stdout, new RegExp(`kept ${image.digest}.*--force.*other tags: (1, )?(2, )?3`))
  }
  assert.deepEqual(await tags(), ['1', '2', '3', 'other'])
  const forced = await deletion('--force', '--digest', `${app}:2`, '-o', 'json')
  assert.equal(forced.status, 0)
  const { results } = JSON.parse(forced.stdout)
  const expected = { image: `${app}:2`, state: 'deleted', digest: image.digest, tags: ['1', '3'] }
  assert.deepEqual(results, [expected])
  assert.deepEqual(await tags(), ['other'])
})

test('an image goes without --force if all its tags are named', async (t) => {
  const { app, tags } = await berthFor(t)
  const { status } = await deletion('--digest', ...['1', '2', '3'].map((tag) => `${app}:${tag}`))
  assert.equal(status, 0)
  assert.deepEqual(await tags(), ['other'])
})

test('--all removes nothing without --yes, and then all tags of what is named, or of the registry', async (t) => {
  const { app, image, tags } = await berthFor(t)
  const asked = await deletion('--all', app)
  assert.equal(asked.status, 1)
  assert.match(
    asked.stdout,
    new RegExp(`kept ${image.digest}: not confirmed \\(other tags: 1, 2, 3\\)`),
  )
  assert.match(asked.stderr, /nothing was removed: 2 images would be; confirm that with --yes/)
  assert.deepEqual(await tags(), ['1', '2', '3', 'other'])

  const [host = ''] = app.split('/')
  const nothing = await deletion('--all', '--yes', `${host}/other/`)
  assert.equal(nothing.stdout, 'there are no images\n')
  assert.equal((await deletion('--all', '--yes', `${host}/local/`)).status, 0)
  assert.deepEqual(await tags(), [''])
  const again = await deletion('--all', '--yes', host, '-o', 'json')
  assert.deepEqual(JSON.parse(again.stdout), { results: [] })
  assert.match((await deletion()).stderr, /name the images, or add --all/)
})

for (const [what, status, code, reason] of [
  ['Distribution 2.8', 400, 'DIGEST_INVALID', /400: only by digest, /],
  ['a registry without deletions', 405, 'UNSUPPORTED', /405: only by digest; /],
  ['a registry that finds only digests', 404, 'MANIFEST_UNKNOWN', /it is not there; /],
] as const)
  test(`a registry that cannot remove a tag says what to do: ${what}`, async (t) => {
    const image = makeImage()
    const server = await startWebServer(({ method, path }, response) => {
      if (method === 'DELETE')
        return sendJson(response, { errors: [{ code, message: 'only by digest' }] }, status)
      if (path.includes('tags/list')) return sendJson(response, { tags: ['1', '2', '3'] })
      const { digest } = path.endsWith('/3') ? makeImage() : image
      response.setHeader('docker-content-digest', digest)
      response.end()
    })
    t.after(server.close)
    const app = `127.0.0.1:${server.port}/app`
    const { status: exit, stdout } = await deletion(`${app}:1`, `${app}:2`)
    assert.equal(exit, 1)
    const [first, second] = stdout.split('\n')
    assert.match(first ?? '', reason)
    assert.match(first ?? '', /app:1: not deleted: .*--digest deletes the image .*other tags: 2\)/)
    assert.match(second ?? '', /app:2: not deleted: .*other tags: 1\)/)
  })

test('what may not be deleted is an error, and the rest is deleted', async (t) => {
  const { digest } = makeImage()
  const server = await startWebServer(({ method, path }, response) => {
    response.setHeader('docker-content-digest', digest)
    if (method === 'DELETE' && path.includes('/locked/'))
      return sendJson(response, { errors: [{ code: 'DENIED' }] }, 403)
    response.writeHead(method === 'DELETE' ? 202 : 200).end()
  })
  t.after(server.close)
  const host = `127.0.0.1:${server.port}`
  const { status, stdout } = await deletion(`${host}/locked/app:1`, `${host}/app:1`)
  assert.equal(status, 1)
  assert.match(stdout, /locked\/app:1: not deleted: .*403.*\n.*\/app:1: deleted\n/)
})
