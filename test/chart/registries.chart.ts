import assert from 'node:assert/strict'
import { copyFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { createApiClient } from '../../src/kubernetes/kubernetes.ts'
import {
  keepLease,
  leaseRules,
  registryDefinition,
  registryResource,
  registryRules,
  startOperator,
} from '../../src/operator/operator.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { ownDirectory } from '../support/directory.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
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

  /** With the rights of the operator, and no others. */
  const operatorClient = async (t: TestContext) => {
    const directory = await ownDirectory(t)
    const certificate = join(dirname(api.kubeconfig), 'certificates', 'apiserver.crt')
    await copyFile(certificate, join(directory, 'ca.crt'))
    const words = ['create', 'serviceaccount', 'operator', '-n', 'default', '--dry-run=client']
    const account = await api.kubectl([...words, '-o', 'yaml'])
    await api.kubectl(['apply', '-f', '-'], account)
    const token = await api.kubectl(['create', 'token', 'operator', '-n', 'default'])
    await writeFile(join(directory, 'token'), token)
    const url = await api.kubectl(['config', 'view', '-o', 'jsonpath={..server}'])
    const client = createApiClient({ server: url.replace('https://', ''), directory })
    t.after(client.close)
    return client
  }
  const json = async (...words: readonly string[]) =>
    JSON.parse(await api.kubectl([...words, '-o', 'json']))
  const conditionsOf = async (name: string) => {
    const { status } = registryResource.parse(await json('get', 'registry', name))
    const found = status.conditions?.map(({ type, status: is, reason }) => [
      type,
      `${is} ${reason}`,
    ])
    return { ...status, of: Object.fromEntries(found ?? []) }
  }
  const runOperator = async (t: TestContext, more: object = {}) => {
    const report = {
      reachable: { status: 'True', reason: 'Answers', message: 'it answers' },
      authenticated: { status: 'True', reason: 'LoggedIn', message: 'it accepts me' },
    } as const
    const addresses: string[] = []
    const { telemetry, logs } = watchedTelemetry()
    const start = async () =>
      startOperator({
        client: await operatorClient(t),
        namespace: undefined,
        image: 'berth:1',
        imagePullSecrets: [],
        interval: 500,
        readReport: async (address) => {
          addresses.push(address)
          return { ...report, ...more }
        },
        telemetry,
      })
    const operator = await start()
    t.after(operator.close)
    return { operator, addresses, logs }
  }
  /** What a kubelet would make of the Deployment. */
  const startPod = async (name: string, podIP: string) => {
    const { spec } = await json('get', 'deployment', `${name}-surrogate`)
    const { metadata } = spec.template
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...metadata,
        name: `${name}-${podIP.replaceAll('.', '-')}`,
        namespace: 'default',
      },
      // Other than in the template: controllers that make service accounts do not run here.
      spec: {
        containers: [{ name: 'berth', image: 'berth:1' }],
        automountServiceAccountToken: false,
      },
    }
    await api.kubectl(['create', '-f', '-'], JSON.stringify(pod))
    const status = {
      podIP,
      podIPs: [{ ip: podIP }],
      conditions: [{ type: 'Ready', status: 'True' }],
    }
    await api.kubectl([
      ...['patch', 'pod', pod.metadata.name, '--subresource=status', '--type=merge'],
      ...['-p', JSON.stringify({ status })],
    ])
  }

  test('a surrogate is made, mended and changed with its Registry', async (t) => {
    await api.kubectl(['create', 'serviceaccount', 'default', '-n', 'default'])
    const { addresses } = await runOperator(t)
    await create('kept', { direct: { host: 'r.example.com' }, tls: { enabled: false } })
    await until('the surrogate starts', async () => {
      const { of, host, url, observedGeneration } = await conditionsOf('kept')
      assert.deepEqual([of.Accepted, of.Deployed], ['True Valid', 'False Starting'])
      assert.deepEqual([host, url], ['r.example.com', 'http://r.example.com'])
      assert.equal(observedGeneration, 1)
    })
    await startPod('kept', '10.1.2.3')
    await until('it is ready', async () =>
      assert.equal((await conditionsOf('kept')).of.Ready, 'True Ready'),
    )
    assert.ok(addresses.includes('10.1.2.3'))
    await until('its Events say so', async () => {
      const { items } = await json('get', 'events', '--field-selector=involvedObject.name=kept')
      const events = items.map(({ type, reason }: Readonly<Record<string, string>>) =>
        [type, reason].join(' '),
      )
      // Their names are random, and so is their order.
      assert.deepEqual(events.toSorted(), ['Normal Ready', 'Normal Starting'])
    })

    const deployment = ['deployment', 'kept-surrogate']
    const { metadata } = await json('get', ...deployment)
    await api.kubectl(['delete', ...deployment])
    await until('it is back', async () =>
      assert.notEqual((await json('get', ...deployment)).metadata.uid, metadata.uid),
    )
    await api.kubectl(['set', 'image', ...deployment, 'berth=other:1'])
    await until('its image is the right one', async () => {
      const { spec } = await json('get', ...deployment)
      assert.equal(spec.template.spec.containers[0].image, 'berth:1')
    })

    const before = await conditionsOf('kept')
    await api.kubectl([
      ...['patch', 'registry', 'kept', '--type=merge'],
      ...['-p', JSON.stringify({ spec: { direct: { host: 'other.example.com' } } })],
    ])
    // The pod that runs still hands requests on to the registry before.
    await until('the new spec is not ready', async () => {
      const { of, host, observedGeneration } = await conditionsOf('kept')
      assert.deepEqual([observedGeneration, host], [2, 'other.example.com'])
      assert.equal(of.Ready, 'False Starting')
    })
    await startPod('kept', '10.1.2.4')
    await until('it is ready again', async () =>
      assert.equal((await conditionsOf('kept')).of.Ready, 'True Ready'),
    )
    assert.equal(addresses.at(-1), '10.1.2.4')
    assert.notDeepEqual(await conditionsOf('kept'), before)
  })

  test('the host of Berth itself is that of its exposure: a NodePort, a host port, else its Service', async (t) => {
    const labels = { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/component': 'registry' }
    const metadata = { name: 'berth', namespace: 'berth', labels }
    const applied = (type: string, port: object, hostPort: object) =>
      [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'berth' } },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, name: 'default' } },
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata,
          spec: { type, ports: [{ name: 'registry', port: 30026, ...port }] },
        },
        {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata,
          spec: {
            automountServiceAccountToken: false,
            containers: [
              {
                name: 'berth',
                image: 'berth:1',
                ports: [{ name: 'registry', containerPort: 30026, ...hostPort }],
              },
            ],
          },
        },
      ].map((object) => JSON.stringify(object))
    await runOperator(t)
    await create('own', { provider: 'simple' })
    const cases = [
      ['localhost:31026', applied('NodePort', { nodePort: 31_026 }, {})],
      ['berth.berth.svc:30026', applied('ClusterIP', {}, {})],
      ['localhost:30027', applied('ClusterIP', {}, { hostPort: 30_027 })],
    ] as const
    for (const [expected, objects] of cases) {
      await api.kubectl(['delete', 'pod,service', '--all', '-n', 'berth', '--force'])
      for (const object of objects) await api.kubectl(['apply', '-f', '-'], object)
      await until(`its host is ${expected}`, async () =>
        assert.equal((await conditionsOf('own')).host, expected),
      )
    }
  })

  test('a status is written only when it changes', async (t) => {
    await create('quiet', { direct: { host: 'r.example.com' } })
    const { addresses } = await runOperator(t)
    await until('there is a Deployment', () => json('get', 'deployment', 'quiet-surrogate'))
    await startPod('quiet', '10.1.2.5')
    await until('it is ready', async () =>
      assert.equal((await conditionsOf('quiet')).of.Ready, 'True Ready'),
    )
    const { metadata } = await json('get', 'registry', 'quiet')
    const looks = () => addresses.filter((address) => address === '10.1.2.5').length
    const before = looks()
    await until('it was looked at again', () => assert.ok(looks() > before + 3))
    const after = await json('get', 'registry', 'quiet')
    assert.equal(after.metadata.resourceVersion, metadata.resourceVersion)
  })

  test('a Deployment of somebody else is left alone', async (t) => {
    await api.kubectl(['create', 'deployment', 'taken-surrogate', '--image=own:1'])
    await create('taken', { direct: { host: 'r.example.com' } })
    await runOperator(t)
    await until('it is refused', async () =>
      assert.equal((await conditionsOf('taken')).of.Ready, 'False NameTaken'),
    )
    const { spec } = await json('get', 'deployment', 'taken-surrogate')
    assert.equal(spec.template.spec.containers[0].image, 'own:1')
  })

  test('of two replicas one works, and the other one takes over at once when it stops', async (t) => {
    const elections: string[] = []
    const replica = async (identity: string) => {
      const lease = keepLease({
        client: await operatorClient(t),
        ...{ namespace: 'default', name: 'berth-operator', identity },
        log: { info: () => {}, warn: () => {} },
        duration: 30_000,
      })
      lease.elected.then(() => elections.push(identity))
      return lease
    }
    const first = await replica('one')
    await first.elected
    const second = await replica('two')
    t.after(second.close)
    assert.equal(first.isLeader(), true)
    await first.close()
    assert.equal(first.isLeader(), false)
    await second.elected
    assert.deepEqual(elections, ['one', 'two'])
    const { spec } = await json('get', 'lease', 'berth-operator')
    assert.deepEqual([spec.holderIdentity, spec.leaseTransitions], ['two', 1])
  })
})
