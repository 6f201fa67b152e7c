import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { createApiClient } from '../support/api-client.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const image = makeImage()
const upstream = await useUpstream()
const htpasswd = join(await useDirectory(), 'htpasswd')
const berth = useBerth()
const alice = 'alice:password of alice'
const carol = 'carol:password of carol'

beforeEach(async () => {
  upstream.put('team/app', 'v1', image)
  const lines = ['alice', 'carol'].map(
    async (user) => `${user}:${await hashPassword(`password of ${user}`, 4)}`,
  )
  await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  await berth.start({
    config: {
      upstreams: [{ prefix: 'up', url: upstream.url }],
      auth: {
        htpasswd,
        access: [
          { users: ['alice'], repositories: ['up/team/**'], actions: ['pull'] },
          { users: ['carol'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
        ],
      },
    },
  })
})

const client = (login: string) => createApiClient(berth, login)
const why = (login: string, text: string) => client(login).ask('why', { query: { image: text } })
const messages = ({ steps }: Awaited<ReturnType<typeof why>>) =>
  new Map(steps.map(({ step, state, message }) => [step, `${state}: ${message}`]))

test('an image that nobody has pulled is explained, and is not pulled by that', async () => {
  const found = await why(carol, 'up/team/app:v1')
  assert.equal(found.servedBy, 'upstream')
  assert.deepEqual([found.name, found.tag, found.digest], ['up/team/app', 'v1', undefined])
  const said = messages(found)
  assert.match(said.get('rule') ?? '', /^ok: .*names below up\/ are at http:/)
  assert.match(said.get('upstream') ?? '', /^ok: http.* answers/)
  assert.match(said.get('credential') ?? '', /^ok: as /)
  assert.match(said.get('digest') ?? '', /nobody has pulled this tag here/)
  assert.match(found.conclusion, /downloads what is missing/)
  assert.equal((await client(carol).ask('repositories')).total, 0)
})

test('who does not see everything is told neither of the upstream nor of the credential', async () => {
  const headers = { authorization: `Basic ${basicOf('carol', 'password of carol')}` }
  assert.equal((await get(`${berth.url}/v2/up/team/app/manifests/v1`, { headers })).status, 200)
  const found = await why(alice, 'up/team/app:v1')
  assert.equal(found.digest, image.digest)
  assert.equal(messages(found).get('upstream'), 'ok: the upstream answers')
  assert.doesNotMatch(JSON.stringify(found), /127\.0\.0\.1|localhost|anonymous/)
})

test('what a client may not pull is not explained, and a name that nothing serves is', async () => {
  const denied = await client(alice).fail('why', { query: { image: 'up/secret/app:v1' } })
  assert.equal(denied.status, 403)
  const found = await why(alice, 'nowhere.example/app:v1')
  assert.equal(found.servedBy, 'nothing')
  assert.match(messages(found).get('name') ?? '', /^problem: .*nowhere\.example/)
  assert.match(found.conclusion, /check the name/)
  assert.equal((await client(carol).fail('why')).status, 400)
})
