import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import {
  leaseRules,
  registryDefinition,
  registryResource,
  registryRules,
} from '../../src/operator/operator.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { until } from '../support/until.ts'

suite('Registry resources, in a real API server', () => {
  let api: ApiServer
  before(async () => {
    api = await startApiServer()
    // Repeatable, as `berth operator install` is.
    for (const _ of ['create', 'again'])
      await api.kubectl(['apply', '--server-side', '-f', '-'], JSON.stringify(registryDefinition))
    await until('registries are served', () => api.kubectl(['get', 'registries']))
  })
  after(() => api?.stop())

  const registry = (name: string, spec: object) =>
    JSON.stringify({
      apiVersion: 'berth.dev/v1alpha1',
      kind: 'Registry',
      metadata: { name, namespace: 'default' },
      spec,
    })
  const create = (name: string, spec: object) =>
    api.attempt(['create', '-f', '-'], registry(name, spec))

  const accepted: Readonly<Record<string, object>> = {
    direct: { direct: { host: 'registry.example.com:5000' } },
    'direct-v6': { direct: { host: '[fd00::1]:5000' }, tls: { enabled: false } },
    indirect: {
      indirect: { namespace: 'registry', service: 'registry', port: 5000 },
      tls: { caSecretRef: { name: 'ca' }, serverName: 'registry.example.com' },
      credentials: { secretRef: { name: 'login' } },
      spool: { enabled: false },
    },
    minikube: { provider: 'minikube' },
    openshift: { provider: 'openshift', host: 'registry.apps.example.com' },
  }
  for (const [name, spec] of Object.entries(accepted))
    test(`${name} is accepted, and read as it was written`, async () => {
      const { status, output } = await create(name, spec)
      assert.equal(status, 0, output)
      const stored = JSON.parse(await api.kubectl(['get', 'registry', name, '-o', 'json']))
      const read = registryResource.parse(stored)
      assert.deepEqual(read.spec, stored.spec)
      assert.equal(read.metadata.generation, 1)
    })

  const refused: Readonly<Record<string, readonly [object, RegExp]>> = {
    nothing: [{}, /exactly one of direct, indirect and provider/],
    'two-places': [
      { direct: { host: 'a' }, provider: 'minikube' },
      /exactly one of direct, indirect and provider/,
    ],
    'a-url': [{ direct: { host: 'https://registry.example.com' } }, /spec\.direct\.host/],
    'a-path': [{ direct: { host: 'registry.example.com/v2' } }, /spec\.direct\.host/],
    'a-login': [{ direct: { host: 'me:secret@registry.example.com' } }, /spec\.direct\.host/],
    'no-port': [{ indirect: { service: 'registry' } }, /port/],
    'unknown-provider': [{ provider: 'harbor' }, /Unsupported value/],
    'two-authorities': [
      {
        direct: { host: 'a' },
        tls: { caSecretRef: { name: 'a' }, caConfigMapRef: { name: 'b' } },
      },
      /caSecretRef or caConfigMapRef, not both/,
    ],
    'authority-without-tls': [
      { direct: { host: 'a' }, tls: { enabled: false, caSecretRef: { name: 'a' } } },
      /without TLS has no certificate/,
    ],
    ['long-name-'.repeat(6)]: [{ provider: 'minikube' }, /at most 52 characters/],
  }
  for (const [name, [spec, message]] of Object.entries(refused))
    test(`${name.slice(0, 30)} is refused`, async () => {
      const { status, output } = await create(name.replace(/-$/, ''), spec)
      assert.notEqual(status, 0)
      assert.match(output, message)
    })

  test('a status has its own subresource, whose conditions are in the columns', async () => {
    await api.kubectl(['create', '-f', '-'], registry('shown', { provider: 'minikube' }))
    const condition = {
      type: 'Ready',
      status: 'False',
      reason: 'WrongPassword',
      message: 'the registry denied the login',
      lastTransitionTime: '2026-01-02T03:04:05Z',
    }
    const patch = {
      spec: { provider: 'openshift' },
      status: { host: 'localhost:5000', conditions: [condition] },
    }
    await api.kubectl([
      ...['patch', 'registry', 'shown', '--subresource=status', '--type=merge'],
      ...['-p', JSON.stringify(patch)],
    ])
    const table = await api.kubectl(['get', 'registry', 'shown', '--no-headers'])
    assert.match(table, /^shown +localhost:5000 +False +WrongPassword +\d+s/)
    const provider = ['get', 'registry', 'shown', '-o', 'jsonpath={.spec.provider}']
    assert.equal(await api.kubectl(provider), 'minikube')
  })

  test('the rights of the operator are known ones, and none of them is for Secrets', async () => {
    const role = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'berth-operator' },
      rules: [...registryRules, ...leaseRules],
    }
    await api.kubectl(['create', '-f', '-'], JSON.stringify(role))
    const user = 'system:serviceaccount:default:operator'
    await api.kubectl([
      ...['create', 'clusterrolebinding', 'operator', '--clusterrole=berth-operator'],
      `--user=${user}`,
    ])
    const kinds = await api.kubectl(['api-resources', '-o', 'name', '--cached=false'])
    const known = kinds.split('\n').map((name) => name.split('.')[0])
    for (const { resources } of role.rules)
      for (const resource of resources) assert.ok(known.includes(resource.split('/')[0]), resource)
    const may = (...words: readonly string[]) =>
      api.attempt(['auth', 'can-i', ...words, '--all-namespaces', `--as=${user}`])
    assert.equal((await may('watch', 'registries.berth.dev')).stdout.trim(), 'yes')
    for (const denied of [
      ['get', 'secrets'],
      ['delete', 'registries.berth.dev'],
      ['*', '*'],
    ])
      assert.equal((await may(...denied)).stdout.trim(), 'no', denied.join(' '))
  })
})
