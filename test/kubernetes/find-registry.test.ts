import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { findRegistry, type UserAccess } from '../../src/kubernetes/kubernetes.ts'
import { startWebServer } from '../support/web-server.ts'

type Labels = Readonly<Record<string, string>>
type Pod = {
  readonly namespace: string
  readonly labels: Labels
  readonly annotations?: Labels
  readonly ports?: readonly object[]
}

const berth = (component: string, more: object = {}) => ({
  'app.kubernetes.io/name': 'berth',
  'app.kubernetes.io/component': component,
  ...more,
})
const chart: Pod = {
  namespace: 'images',
  labels: berth('registry', { 'app.kubernetes.io/instance': 'berth' }),
}
const surrogate = (namespace: string, name: string): Pod => ({
  namespace,
  labels: berth('surrogate', { 'berth.dev/registry': name }),
  annotations: { 'berth.dev/host': 'r.example.com:5000', 'berth.dev/prefix': '' },
})

/** Lists of pods and of services, as an API server has them; other objects do not exist. */
async function accessTo(
  t: TestContext,
  pods: readonly Pod[],
  services?: readonly object[],
): Promise<UserAccess> {
  const api = await startWebServer(({ path }, response) => {
    const url = new URL(path, 'http://localhost')
    const [, namespace] = /^\/api\/v1(?:\/namespaces\/([^/]+))?\/pods$/.exec(url.pathname) ?? []
    if (services !== undefined && url.pathname === '/api/v1/namespaces/images/services')
      return void response.end(JSON.stringify({ items: services.map((spec) => ({ spec })) }))
    if (!url.pathname.endsWith('/pods')) return void response.writeHead(404).end('{}')
    const wanted = (url.searchParams.get('labelSelector') ?? '')
      .split(',')
      .map((one) => one.split('='))
    const items = pods
      .filter((pod) => namespace === undefined || pod.namespace === namespace)
      .filter(({ labels }) => wanted.every(([name = '', value]) => labels[name] === value))
      .map(({ ports = [], ...pod }, at) => ({
        metadata: { ...pod, name: `pod-${at}` },
        spec: { containers: [{ name: 'berth', ports }] },
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      }))
    response.end(JSON.stringify({ items }))
  })
  t.after(api.close)
  return {
    context: 'here',
    server: new URL(api.url),
    namespace: 'apps',
    requestOptions: async () => ({}),
  }
}

test('Berth itself is found before surrogates, wherever it is', async (t) => {
  const access = await accessTo(t, [surrogate('apps', 'team'), chart])
  assert.equal((await findRegistry(access, {})).namespace, 'images')
})

test('without Berth, the surrogate of the only Registry is found, with its host', async (t) => {
  const access = await accessTo(t, [surrogate('apps', 'team')])
  const { namespace, host, hosted } = await findRegistry(access, {})
  assert.deepEqual([namespace, host, hosted], ['apps', 'r.example.com:5000', ['']])
})

test('a Registry is found by its name', async (t) => {
  const access = await accessTo(t, [surrogate('apps', 'one'), surrogate('apps', 'two'), chart])
  assert.equal((await findRegistry(access, { registry: 'two' })).namespace, 'apps')
  await assert.rejects(findRegistry(access, { registry: 'three' }), {
    message: /^found no surrogate of a Registry three, .* in: apps, all namespaces\./,
  })
})

test('one of several Registries has to be chosen', async (t) => {
  const access = await accessTo(t, [surrogate('apps', 'one'), surrogate('apps', 'two')])
  await assert.rejects(findRegistry(access, {}), {
    message: /there are several registries: apps\/one, apps\/two; choose one with --registry NAME/,
  })
})

test('pods name the registry by the NodePort of its Service', async (t) => {
  const ports = [
    { name: 'admin', nodePort: 31000 },
    { name: 'registry', nodePort: 31500 },
  ]
  const hostOf = async (services?: readonly object[]) =>
    (await findRegistry(await accessTo(t, [chart], services), {})).host
  const other = { selector: berth('registry', { 'app.kubernetes.io/instance': 'other' }), ports }
  const internal = { selector: chart.labels, ports: [{ name: 'registry' }] }
  assert.equal(
    await hostOf([other, { ports }, internal, { selector: chart.labels, ports }]),
    'localhost:31500',
  )
  assert.equal(await hostOf([other, { ports }, internal]), 'localhost:30026')
  assert.equal(await hostOf(), 'localhost:30026')
})

test('pods name the registry by its host port', async (t) => {
  const ports = [{ name: 'registry', containerPort: 30026, hostPort: 31600 }]
  const access = await accessTo(t, [{ ...chart, ports }])
  assert.equal((await findRegistry(access, {})).host, 'localhost:31600')
})
