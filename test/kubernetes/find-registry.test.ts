import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { findRegistry, type UserAccess } from '../../src/kubernetes/kubernetes.ts'
import { startWebServer } from '../support/web-server.ts'

type Pod = { readonly namespace: string; readonly labels: Readonly<Record<string, string>> }

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
})

/** Lists of pods, as an API server has them; other objects do not exist. */
async function accessTo(t: TestContext, pods: readonly Pod[]): Promise<UserAccess> {
  const api = await startWebServer(({ path }, response) => {
    const url = new URL(path, 'http://localhost')
    const [, namespace] = /^\/api\/v1(?:\/namespaces\/([^/]+))?\/pods$/.exec(url.pathname) ?? []
    if (!url.pathname.endsWith('/pods')) return void response.writeHead(404).end('{}')
    const wanted = (url.searchParams.get('labelSelector') ?? '')
      .split(',')
      .map((one) => one.split('='))
    const items = pods
      .filter((pod) => namespace === undefined || pod.namespace === namespace)
      .filter(({ labels }) => wanted.every(([name = '', value]) => labels[name] === value))
      .map((pod, at) => ({
        metadata: {
          ...pod,
          name: `pod-${at}`,
          annotations: { 'berth.dev/host': 'r.example.com:5000', 'berth.dev/prefix': '' },
        },
        spec: { containers: [{ name: 'berth', ports: [] }] },
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
