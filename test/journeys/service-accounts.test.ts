import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { basicOf, createCanaries } from '../support/canaries.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { startClusterIssuer } from '../support/cluster-issuer.ts'
import { makeImage } from '../support/images.ts'
import { createPusher } from '../support/push-requests.ts'
import { audience, tokenOf } from '../support/service-account-tokens.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const image = makeImage()
const blob = image.blobs[1]?.digest
const canaries = createCanaries()
const issuer = await startClusterIssuer()
const upstream = await useUpstream()
const berth = useBerth({
  check: (running) => canaries.assertUnseen({ berths: [running] }),
})
after(issuer.stop)

for (const name of ['team-a/app', 'team-b/app']) upstream.put(name, 'v1', image)

const access = [
  { groups: ['system:serviceaccounts:team-a'], repositories: ['team-a/**'], actions: ['pull'] },
  { groups: ['system:serviceaccounts:team-b'], repositories: ['team-b/**'], actions: ['pull'] },
  {
    users: ['system:serviceaccount:team-a:ci'],
    repositories: ['local/team-a/**'],
    actions: ['pull', 'push'],
  },
]
const serviceAccounts = { audiences: [audience], method: 'published-keys', issuer: issuer.url }

beforeEach(async () => {
  await issuer.stop()
  await issuer.start()
  await berth.start({
    config: { upstreams: [{ url: upstream.url }], auth: { serviceAccounts, access } },
  })
})

function secretToken(account: Parameters<typeof tokenOf>[1] = {}, changed: object = {}): string {
  const token = tokenOf(issuer, account, changed)
  canaries.add(token)
  canaries.add(basicOf('token', token))
  return token
}

function request(path: string, token: string): Promise<Reply> {
  return get(berth.url + path, { headers: { authorization: `Basic ${basicOf('token', token)}` } })
}

const pathsOf = (name: string) => [
  `/v2/${name}/manifests/v1`,
  `/v2/${name}/manifests/${image.digest}`,
  `/v2/${name}/blobs/${blob}`,
  `/v2/${name}/tags/list`,
]

test('a cached private image is private by namespace, with the upstream down as well', async () => {
  const [a, b] = [secretToken(), secretToken({ namespace: 'team-b' })]
  for (const path of pathsOf('team-a/app')) assert.equal((await request(path, a)).status, 200, path)
  await upstream.stop()
  try {
    for (const path of pathsOf('team-a/app')) {
      if (!path.endsWith('list')) assert.equal((await request(path, a)).status, 200, path)
      const denied = await request(path, b)
      assert.equal(denied.status, 403, path)
      assert.match(denied.body.toString(), /user system:serviceaccount:team-b:builder may not pull/)
    }
    // The same blobs are in the cache, by another name.
    assert.equal((await request(`/v2/team-b/app/blobs/${blob}`, b)).status, 503)
  } finally {
    await upstream.start()
  }
})

test('the user of a token is in the log, and the token is nowhere', async () => {
  const token = secretToken()
  const { status } = await get(`${berth.url}/v2/team-a/app/manifests/v1`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(status, 200)
  const line = berth
    .logs()
    .find(({ msg, repository }) => msg === 'request' && repository === 'team-a/app')
  assert.equal(line?.['user'], 'system:serviceaccount:team-a:builder')
  assert.equal(await berth.metric('berth_auth_total{outcome="service-account"}'), 1)
})

test('a rejected token gets 401 with the reason, which is in the log, and a Basic challenge', async () => {
  const token = secretToken({}, { aud: ['https://kubernetes.default.svc'] })
  const reply = await request('/v2/', token)
  assert.equal(reply.status, 401)
  assert.equal(reply.headers['www-authenticate'], 'Basic realm="Berth", charset="UTF-8"')
  assert.equal(codeOf(reply), 'UNAUTHORIZED')
  assert.match(reply.body.toString(), /is for the audience .* not for berth/)
  const line = berth.logs().find(({ msg, status }) => msg === 'request' && status === 401)
  assert.match(String(line?.['reason']), /is for the audience/)
  assert.equal(await berth.metric('berth_auth_total{outcome="wrong"}'), 1)
})

test('while the issuer is down, known keys are in force, and /readyz says why others are not', async () => {
  assert.equal((await request('/v2/', secretToken())).status, 200)
  await issuer.stop()
  assert.equal((await request('/v2/', secretToken({ name: 'another' }))).status, 200)
  issuer.rotate()
  await berth.restart()
  const reply = await request('/v2/', secretToken({ name: 'third' }))
  assert.equal(reply.status, 503)
  assert.ok(Number(reply.headers['retry-after']) > 0)
  const ready = await get(`${berth.admin}/readyz?verbose`)
  assert.equal(ready.status, 200)
  assert.match(ready.body.toString(), /service accounts.*cannot verify new tokens/)
  assert.equal(await berth.metric('berth_service_accounts_stale'), 1)
})

test('a CI job pushes with its token, and only where its rule allows', async () => {
  const ci = createPusher(berth.url, { user: 'token', password: secretToken({ name: 'ci' }) })
  await ci.image('local/team-a/app', 'v1', makeImage())
  await assert.rejects(ci.image('local/team-b/app', 'v1', makeImage()), /403/)
  const other = createPusher(berth.url, { user: 'token', password: secretToken() })
  await assert.rejects(other.image('local/team-a/app', 'v1', makeImage()), /403/)
})
