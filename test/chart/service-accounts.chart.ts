import assert from 'node:assert/strict'
import { copyFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import {
  createAuth,
  createKeySet,
  createReviewedTokens,
  createSignedTokens,
} from '../../src/auth/auth.ts'
import {
  createApiClient,
  fetchClusterKeys,
  KubernetesError,
  loadUserAccess,
  requestToken,
  requestUserToken,
  reviewAccess,
  reviewToken,
} from '../../src/kubernetes/kubernetes.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { matrix, render } from '../support/chart.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'
import { ownDirectory } from '../support/directory.ts'
import { until } from '../support/until.ts'

const audience = 'berth'
const reviews = 'service accounts, verified by reviews, and kubelets that request tokens for them'
const log = { info: () => {}, warn: () => {} }

suite('service accounts of a real API server', () => {
  let api: ApiServer
  let authority: Authority
  before(async () => {
    authority = await createAuthority('users')
    api = await startApiServer({ clientAuthority: authority.file })
    await api.kubectl(['create', 'namespace', 'images'])
    await api.kubectl(['create', 'namespace', 'team-a'])
    await api.kubectl(['create', 'serviceaccount', 'berth', '-n', 'images'])
    await api.kubectl(['create', 'serviceaccount', 'ci', '-n', 'team-a'])
  })
  after(async () => {
    await api?.stop()
    await authority?.remove()
  })

  /** With the permissions of a service account, as in its pod. */
  const clientOf = async (t: TestContext, namespace: string, name: string) => {
    const directory = await ownDirectory(t)
    const certificate = join(dirname(api.kubeconfig), 'certificates', 'apiserver.crt')
    await copyFile(certificate, join(directory, 'ca.crt'))
    const token = await api.kubectl(['create', 'token', name, '-n', namespace])
    await writeFile(join(directory, 'token'), token)
    const url = await api.kubectl(['config', 'view', '-o', 'jsonpath={..server}'])
    const client = createApiClient({ server: url.replace('https://', ''), directory })
    t.after(client.close)
    return client
  }
  const tokenOf = async (...words: readonly string[]) =>
    (await api.kubectl(['create', 'token', 'ci', '-n', 'team-a', ...words])).trim()
  const ci = {
    kind: 'service-account',
    name: 'system:serviceaccount:team-a:ci',
    namespace: 'team-a',
  }

  test('log in by tokens that are verified with its keys, which need no permission', async (t) => {
    const client = await clientOf(t, 'images', 'berth')
    const keys = createKeySet({ fetchKeys: () => fetchClusterKeys(client), log })
    const verifier = createSignedTokens({ keys, audiences: [audience], issuer: undefined })
    t.after(verifier.close)
    const auth = await createAuth({ anonymous: 'none', access: [], verifier })
    const kindOf = async (token: string) => (await auth.authenticate(`Bearer ${token}`))?.kind
    const token = await tokenOf('--audience', audience)
    assert.deepEqual(await auth.authenticate(`Bearer ${token}`), ci)
    assert.equal(await kindOf(await tokenOf()), 'rejected')
    assert.equal(await kindOf(await tokenOf('--audience', 'vault')), 'rejected')
    assert.equal(keys.current()?.issuer, 'https://kubernetes.default.svc')
  })

  test('log in by tokens that it reviews, with exactly the role that the chart creates', async (t) => {
    const client = await clientOf(t, 'images', 'berth')
    const verifier = createReviewedTokens({
      review: (token, audiences) => reviewToken(client, token, audiences),
      audiences: [audience],
      log,
      close: client.close,
    })
    const auth = await createAuth({ anonymous: 'none', access: [], verifier })
    const login = async (token: string) => auth.authenticate(`Bearer ${token}`)
    const token = await tokenOf('--audience', audience)
    await assert.rejects(login(token), /cannot verify service account tokens now/)
    assert.match(verifier.problem() ?? '', /403 .*create tokenreviews/)

    const roles = (await render(matrix[reviews] ?? {})).filter(
      ({ kind, metadata }) => kind.startsWith('ClusterRole') && /-reviews$/.test(metadata.name),
    )
    assert.equal(roles.length, 2)
    await api.kubectl(['apply', '-f', '-'], roles.map((role) => stringify(role)).join('---\n'))
    await until('it is allowed', async () => assert.deepEqual(await login(token), ci))

    await api.kubectl(['create', 'serviceaccount', 'gone', '-n', 'team-a'])
    const words = ['create', 'token', 'gone', '-n', 'team-a', '--audience', audience]
    const [first, second] = [await api.kubectl(words), await api.kubectl(words)]
    assert.equal((await login(first.trim()))?.kind, 'service-account')
    await api.kubectl(['delete', 'serviceaccount', 'gone', '-n', 'team-a'])
    await until('its other token is rejected', async () =>
      assert.equal((await login(`${second.trim()}`))?.kind, 'rejected'),
    )
    assert.equal((await login(await tokenOf()))?.kind, 'rejected')
  })

  test('give tokens to a user with a client certificate, behind a proxy, who may create them', async (t) => {
    const directory = await ownDirectory(t)
    const proxy = await startConnectProxy()
    t.after(proxy.close)
    const { certificate, key } = await authority.issue(['DNS:test'])
    const server = await api.kubectl(['config', 'view', '-o', 'jsonpath={..server}'])
    const encode = (text: string) => Buffer.from(text).toString('base64')
    const user = {
      'client-certificate-data': encode(certificate),
      'client-key-data': encode(key),
    }
    const cluster = { server, 'insecure-skip-tls-verify': true, 'proxy-url': proxy.url }
    const kubeconfig = join(directory, 'kubeconfig')
    await writeFile(
      kubeconfig,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster }],
        users: [{ name: 'u', user }],
        contexts: [
          { name: 'wrong', context: { cluster: 'c', user: 'nobody' } },
          { name: 'right', context: { cluster: 'c', user: 'u', namespace: 'team-a' } },
        ],
        'current-context': 'wrong',
      }),
    )
    const access = await loadUserAccess({ kubeconfig, context: 'right', environment: {} })
    assert.equal(access.namespace, 'team-a')
    const right = { verb: 'create', resource: 'serviceaccounts/token', namespace: 'team-a' }
    const wanted = { namespace: 'team-a', name: 'ci', audiences: [audience] }
    assert.equal(await reviewAccess(access, right), false)
    await assert.rejects(
      requestUserToken(access, wanted),
      (error) =>
        error instanceof KubernetesError &&
        error.status === 403 &&
        /User "test" cannot create resource .*it takes the right create/.test(error.message),
    )
    await api.kubectl([
      ...['create', 'role', 'tokens', '-n', 'team-a', '--verb=create'],
      '--resource=serviceaccounts/token',
    ])
    const binding = ['create', 'rolebinding', 'tokens', '-n', 'team-a', '--role=tokens']
    await api.kubectl([...binding, '--user=test'])
    await until('it is allowed', async () => assert.ok(await reviewAccess(access, right)))
    const { token } = await requestUserToken(access, wanted)
    const { sub, aud } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    assert.deepEqual([sub, aud], [ci.name, [audience]])
    assert.ok(proxy.requests.length > 0)
    assert.ok(proxy.requests.every((line) => line === `CONNECT ${new URL(server).host}`))
  })

  test('give tokens to those who may create them', async (t) => {
    const client = await clientOf(t, 'team-a', 'ci')
    const wanted = { namespace: 'team-a', name: 'ci', audiences: [audience], lifetime: 900 }
    await assert.rejects(requestToken(client, wanted), /serviceaccounts "ci" is forbidden/)
    await api.kubectl([
      ...['create', 'role', 'self', '-n', 'team-a', '--verb=create'],
      ...['--resource=serviceaccounts/token', '--resource-name=ci'],
    ])
    const binding = ['create', 'rolebinding', 'self', '-n', 'team-a', '--role=self']
    await api.kubectl([...binding, '--serviceaccount=team-a:ci'])
    const { token, expires } = await until('it is allowed', () => requestToken(client, wanted))
    const { sub, aud } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    assert.deepEqual([sub, aud], [ci.name, [audience]])
    const minutes = (expires.getTime() - Date.now()) / 60_000
    assert.ok(minutes > 13 && minutes < 16, `${minutes} minutes`)
  })
})
