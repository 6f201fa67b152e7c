import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { createAuthority } from '../support/certificates.ts'
import { answerJson, startFakeServer } from '../support/fake-server.ts'
import { setPodScene } from '../support/pod-scene.ts'

function jwt(exp: number): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${encode({ alg: 'none' })}.${encode({ exp })}.x`
}
const hour = 3600
const seconds = () => Math.floor(Date.now() / 1000)

/** A provider whose refresh tokens are valid once, and an API server that takes the id token which it gives. */
async function setScene(t: TestContext, { inBody = false } = {}) {
  const authority = await createAuthority('provider')
  t.after(authority.remove)
  const fresh = jwt(seconds() + hour)
  let valid = 'refresh-0'
  let renewals = 0
  const provider = await startFakeServer(
    ({ path, body, headers }, response) => {
      if (path === '/.well-known/openid-configuration')
        return answerJson(response, 200, { token_endpoint: `${provider.url}/token` })
      const form = new URLSearchParams(body)
      const [, basic = ''] = (headers.authorization ?? '').split(' ')
      const secret = inBody ? form.get('client_secret') : Buffer.from(basic, 'base64').toString()
      if (secret !== (inBody ? 's%cret' : 'kubectl:s%25cret'))
        return answerJson(response, 401, { error: 'invalid_client' })
      if (form.get('refresh_token') !== valid)
        return answerJson(response, 400, { error: 'invalid_grant' })
      renewals += 1
      valid = `refresh-${renewals}`
      answerJson(response, 200, { id_token: fresh, refresh_token: valid })
    },
    { tls: await authority.issue(['IP:127.0.0.1']) },
  )
  t.after(provider.stop)
  const scene = await setPodScene(t, { token: fresh })
  const file = join(scene.directory, 'kubeconfig')
  const config = {
    'client-id': 'kubectl',
    'client-secret': 's%cret',
    'id-token': jwt(seconds() - hour),
    'idp-issuer-url': provider.url,
    'idp-certificate-authority': authority.file,
    'refresh-token': valid,
  }
  const write = async (changed: object = {}) => {
    const document = parse(await readFile(file, 'utf8'))
    const user = { 'auth-provider': { name: 'oidc', config: { ...config, ...changed } } }
    await writeFile(file, `# mine\n${stringify({ ...document, users: [{ name: 'u', user }] })}`)
  }
  await write()
  return { ...scene, file, write, fresh, renewals: () => renewals }
}

test('an id token that has expired is renewed once, and stored for kubectl', async (t) => {
  const { run, file, fresh, renewals } = await setScene(t)
  const { status, stderr } = await run('status')
  assert.equal(status, 0, stderr)
  assert.equal(renewals(), 1)
  const text = await readFile(file, 'utf8')
  assert.match(text, /^# mine\n/)
  const stored = parse(text).users[0].user['auth-provider'].config
  assert.equal(stored['id-token'], fresh)
  assert.equal(stored['refresh-token'], 'refresh-1')
  assert.equal((await run('status')).status, 0)
  assert.equal(renewals(), 1)
})

test('a provider that wants the secret in the body gets it there', async (t) => {
  const { run, renewals } = await setScene(t, { inBody: true })
  const { status, stderr } = await run('status')
  assert.equal(status, 0, stderr)
  assert.equal(renewals(), 1)
})

test('without a refresh token, or with an old one, the user has to log in again', async (t) => {
  const { run, write } = await setScene(t)
  await write({ 'refresh-token': 'refresh-old' })
  assert.match(
    (await run('status')).stderr,
    /^berth: cannot authenticate as the user of context here: .* did not renew the id-token: 400 invalid_grant: log in again\n$/,
  )
  await write({ 'refresh-token': '' })
  assert.match((await run('status')).stderr, /has expired, and there is no refresh-token: log in/)
})
