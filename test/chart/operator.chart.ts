import assert from 'node:assert/strict'
import { after, before, suite, type TestContext, test } from 'node:test'
import { leaseRules, registryRules } from '../../src/operator/operator.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createAuthority } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'

const directory = await useDirectory()
const definition = 'customresourcedefinition/registries.berth.dev'

suite('berth operator and berth registry, with a Kubernetes API', () => {
  let api: ApiServer
  before(async () => {
    api = await startApiServer()
    for (const name of ['one', 'two']) await api.kubectl(['create', 'namespace', name])
  })
  after(() => api?.stop())

  const berth = (args: readonly string[], input = '') =>
    runCommand(args, { environment: { HOME: directory, KUBECONFIG: api.kubeconfig }, input })
  const succeed = async (args: readonly string[], input = '') => {
    const { status, stdout, stderr } = await berth(args, input)
    assert.equal(status, 0, stderr)
    return { stdout, stderr }
  }
  const fail = async (pattern: RegExp, ...args: readonly string[]) => {
    const { status, stderr } = await berth(args)
    assert.equal(status, 1)
    assert.match(stderr, pattern)
  }
  const get = async (what: string, namespace = 'one') =>
    JSON.parse(await api.kubectl(['get', what, '--namespace', namespace, '-o', 'json']))
  const namesOf = async (kinds: string) => {
    const words = ['get', kinds, '-A', '-l', 'app.kubernetes.io/component=operator', '-o', 'name']
    return (await api.kubectl(words)).split('\n').filter(Boolean).toSorted()
  }
  const rights = 'roles,rolebindings,clusterroles,clusterrolebindings'
  const setStatus = (name: string, status: object) => {
    const patch = ['--type=merge', '-p', JSON.stringify({ status })]
    return api.kubectl(['patch', 'registry', name, '-n', 'one', '--subresource=status', ...patch])
  }
  const removeOperator = async (t: TestContext, namespace = 'one') => {
    t.after(() => berth(['operator', 'uninstall', '-n', namespace]))
  }

  test('without the operator, a message says what to install', async () => {
    await fail(/install the operator first/, 'registry', 'list')
    await fail(/Install the operator first/, 'registry', 'create', 'r', '--host', 'example.com')
  })

  test('the operator of one namespace has its rights there, and of all namespaces everywhere', async (t) => {
    await removeOperator(t)
    await succeed(['operator', 'install', '-n', 'one'])
    const role = 'role.rbac.authorization.k8s.io/berth-operator'
    const binding = 'rolebinding.rbac.authorization.k8s.io/berth-operator'
    const lease = [`${binding}-lease`, `${role}-lease`]
    assert.deepEqual(await namesOf(rights), [binding, role, ...lease].toSorted())
    assert.deepEqual((await get('role/berth-operator')).rules, registryRules)
    assert.deepEqual((await get('role/berth-operator-lease')).rules, leaseRules)
    const { spec } = await get('deployment/berth-operator')
    const [container] = spec.template.spec.containers
    assert.deepEqual(container.args, ['operator', 'run', '--namespace', 'one'])

    const { stderr } = await succeed(['operator', 'install', '-n', 'one', '--cluster'])
    assert.match(stderr, /deleted Role berth-operator in namespace one, which is not needed/)
    const cluster = ['clusterrole', 'clusterrolebinding'].map(
      (kind) => `${kind}.rbac.authorization.k8s.io/one-berth-operator`,
    )
    assert.deepEqual(await namesOf(rights), [...cluster, ...lease].toSorted())
    const changed = await get('deployment/berth-operator')
    assert.deepEqual(changed.spec.template.spec.containers[0].args, ['operator', 'run'])
  })

  test('the operator is bound to another role when the command is repeated with one', async (t) => {
    await removeOperator(t)
    await succeed(['operator', 'install', '-n', 'one'])
    await succeed(['operator', 'install', '-n', 'one', '--role', 'view'])
    const { roleRef } = await get('rolebinding/berth-operator')
    assert.deepEqual([roleRef.kind, roleRef.name], ['ClusterRole', 'view'])
  })

  test('the operator may run in a namespace that enforces the level restricted', async () => {
    const { stdout } = await succeed(['operator', 'install', '--dry-run', '-o', 'json'])
    const { items } = JSON.parse(stdout)
    const { template } = items.find(({ kind }: { kind: string }) => kind === 'Deployment').spec
    const strict = ['label', 'namespace', 'two', 'pod-security.kubernetes.io/enforce=restricted']
    await api.kubectl(strict)
    await api.kubectl(['create', 'serviceaccount', 'berth-operator', '-n', 'two'])
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pod' }, spec: template.spec }
    await api.kubectl(['create', '--dry-run=server', '-n', 'two', '-f', '-'], JSON.stringify(pod))
  })

  test('the operator is removed, and neither Registries nor their definition', async (t) => {
    await removeOperator(t)
    await succeed(['operator', 'install', '-n', 'one'])
    await succeed(['registry', 'create', 'team', '-n', 'one', '--host', 'registry.example.com'])
    const withDefinition = ['operator', 'uninstall', '-n', 'one', '--delete-definition'] as const
    await fail(/there are Registries, .*: one\/team; .*Nothing was changed/, ...withDefinition)
    assert.notDeepEqual(await namesOf('deployments'), [])
    const { stdout } = await succeed(['operator', 'uninstall', '-n', 'one'])
    assert.match(stdout, /kept: CustomResourceDefinition registries.berth.dev/)
    assert.deepEqual(await namesOf(`deployments,serviceaccounts,${rights}`), [])
    await get('registry/team')
    await succeed(['registry', 'delete', 'team', '-n', 'one'])
    await succeed(withDefinition)
    assert.equal((await api.attempt(['get', definition])).status, 1)
  })

  test('a Registry is created with its login and its authorities, listed, described and deleted', async (t) => {
    await removeOperator(t)
    await succeed(['operator', 'install', '-n', 'one', '--wait', '--timeout', '1s']).catch(() => {})
    const authority = await createAuthority('test')
    t.after(authority.remove)
    const create = ['registry', 'create', 'team', '-n', 'one', '--service', 'two/registry'] as const
    await succeed([...create, '-u', 'ci', '--ca-file', authority.file], 'secret-of-ci\n')
    const registry = await get('registry/team')
    assert.deepEqual(registry.spec, {
      indirect: { namespace: 'two', service: 'registry', port: 5000 },
      tls: { caConfigMapRef: { name: 'team-ca', key: 'ca.crt' } },
      credentials: { secretRef: { name: 'team-login' } },
    })
    const secret = await get('secret/team-login')
    assert.equal(Buffer.from(secret.data.password, 'base64').toString(), 'secret-of-ci')
    for (const one of [secret, await get('configmap/team-ca')])
      assert.equal(one.metadata.ownerReferences[0].uid, registry.metadata.uid)

    const lastTransitionTime = '2026-01-01T00:00:00Z'
    const condition = (type: string, status: string, message: string, observedGeneration = 1) => ({
      ...{ type, status, message, observedGeneration, lastTransitionTime },
      reason: 'Test',
    })
    const conditions = [
      condition('Accepted', 'True', 'fine'),
      condition('Deployed', 'False', 'no pod yet'),
      condition('Ready', 'False', 'no pod yet'),
    ]
    await setStatus('team', { observedGeneration: 1, host: 'registry.two.svc:5000', conditions })
    const wait = [
      ...create,
      '--login-secret',
      'team-login',
      '--ca-secret',
      'other',
      '--wait',
      '--timeout',
      '2s',
    ]
    // The spec has changed: what the status says is about another one.
    await fail(/no operator has written its status yet/, ...wait)
    const { metadata } = await get('registry/team')
    await setStatus('team', {
      conditions: conditions.map((one) => ({ ...one, observedGeneration: metadata.generation })),
    })
    await fail(/^waiting: Deployed is False: no pod yet$/m, ...wait)
    const ready = [condition('Ready', 'True', 'it answers', metadata.generation)]
    await setStatus('team', { observedGeneration: metadata.generation, conditions: ready })
    assert.match((await succeed(wait)).stdout, /^Registry team is ready in namespace one$/m)

    const list = JSON.parse((await succeed(['registry', 'list', '-A', '-o', 'json'])).stdout)
    assert.deepEqual(
      list.registries.map(({ name, ready: is }: { name: string; ready: boolean }) => [name, is]),
      [['team', true]],
    )
    assert.match(
      (await succeed(['registry', 'list', '-n', 'one'])).stdout,
      /^team +registry\.two\.svc:5000 +True/m,
    )
    const described = await succeed(['registry', 'describe', 'team', '-n', 'one'])
    assert.match(described.stdout, /service: registry/)
    assert.match(described.stdout, /Ready +True +Test +it answers/)
    await fail(
      /no Registry other in namespace one; there are: team/,
      'registry',
      'describe',
      'other',
      '-n',
      'one',
    )
    await succeed(['registry', 'delete', 'team', '-n', 'one'])
    assert.match(
      (await succeed(['registry', 'list', '-n', 'one'])).stdout,
      /no Registries in namespace one/,
    )
  })

  test('options of Reposure mean the same, and contradictions are refused', async () => {
    const create = ['registry', 'create', 'r', '--dry-run', '-o', 'json'] as const
    const old = ['--service', 'registry', '--service-namespace', 'two', '--port', '443']
    const secrets = ['--authentication-secret', 'ca', '--authentication-secret-data-key', 'tls.crt']
    const { stdout } = await succeed([
      ...create,
      ...old,
      ...secrets,
      '--authorization-secret',
      'login',
    ])
    const [{ spec }] = JSON.parse(stdout).items
    assert.deepEqual(spec, {
      indirect: { namespace: 'two', service: 'registry', port: 443 },
      tls: { caSecretRef: { name: 'ca', key: 'tls.crt' } },
      credentials: { secretRef: { name: 'login' } },
    })
    await fail(/one of them/, ...create)
    await fail(/one of them/, ...create, '--host', 'example.com', '--provider', 'simple')
    await fail(/without a scheme/, ...create, '--host', 'https://example.com')
    await fail(
      /--plain-http: a registry without TLS/,
      ...create,
      '--host',
      'a.b',
      '--plain-http',
      '--ca-secret',
      'ca',
    )
    await fail(
      /expected certificates in PEM/,
      ...create,
      '--host',
      'a.b',
      '--ca-file',
      '/etc/passwd',
    )
    await fail(
      /--login-secret and --username exclude/,
      ...create,
      '--host',
      'a.b',
      '-u',
      'ci',
      '--login-secret',
      's',
    )
  })
})
