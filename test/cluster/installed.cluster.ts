import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { get } from '../support/client.ts'
import type { ClusterNode } from '../support/cluster-node.ts'
import {
  type ClusterScene,
  login,
  namespaces,
  setClusterScene,
  setSceneIn,
} from '../support/cluster-scene.ts'
import { givenCluster } from '../support/given-cluster.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'
import { startSteadyPulls } from '../support/steady-pulls.ts'
import { until } from '../support/until.ts'

const repository = 'my-project/my-repository/team/app'
const imageOf = (tag: string) => `localhost:30026/${repository}:${tag}`

const given = givenCluster()

describe('Berth in a cluster of two nodes, behind a NodePort, kube-proxy in iptables mode', () => {
  let scene: ClusterScene
  // Only those of a cluster of our own can be entered.
  let nodes: readonly ClusterNode[] = []
  before(async () => {
    if (given === undefined) {
      const own = await setClusterScene('iptables', { dns: true })
      nodes = own.cluster.nodes
      scene = own
    } else scene = await setSceneIn(given)
    const inUse = { enabled: true, warmUp: { enabled: true } }
    await scene.explained(() => scene.install(3, { replicas: 1, inUse }))
  })
  after(() => scene?.close())

  test('pods on both nodes run from localhost, by the token of the pod of Berth', () =>
    scene.explained(async () => {
      const { cluster, registry, exchange, startPod } = scene
      const image = await makeRunnableImage()
      registry.put(repository, 'first', image)
      const [first, second] = cluster.nodes
      await startPod({ name: 'first', node: first, image: imageOf('first') })
      await startPod({ name: 'second', node: second, image: imageOf('first') })
      const subject = `system:serviceaccount:${namespaces.berth}:berth`
      assert.deepEqual([...new Set(exchange.subjects)], [subject])
      for (const { digest } of image.blobs)
        assert.equal(registry.count(new RegExp(`^GET .*/blobs/${digest}$`)), 1)
    }))

  test('an image that a Deployment without replicas names is cached before a pod of it is created', () =>
    scene.explained(async () => {
      const { cluster, registry, startPod } = scene
      const image = await makeRunnableImage()
      registry.put(repository, 'ahead', image)
      const labels = { app: 'ahead' }
      await cluster.apply({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'ahead', namespace: namespaces.apps },
        spec: {
          replicas: 0,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { containers: [{ name: 'app', image: imageOf('ahead') }] },
          },
        },
      })
      await until('it is downloaded', async () => {
        const words = ['logs', '-n', namespaces.berth, 'deployment/berth']
        const lines = (await cluster.kubectl(words)).split('\n')
        const done = /"reference":"ahead".*downloaded an image that a workload names/
        assert.ok(lines.some((line) => done.test(line)))
      })
      const before = registry.count(/^GET /)
      await startPod({ name: 'ahead', node: cluster.nodes[1], image: imageOf('ahead') })
      assert.equal(registry.count(/^GET /), before)
    }))

  test('a private image that is cached is not had without the imagePullSecret', () =>
    scene.explained(async () => {
      const { cluster, failPod } = scene
      const [node] = cluster.nodes
      const why = await failPod({ name: 'stranger', node, image: imageOf('first'), secret: null })
      assert.match(why, /401|unauthorized|no basic auth/i)
    }))

  test('while the upstream is stopped, a new pod starts from the cache on a node that never had its image', () =>
    scene.explained(async () => {
      const { cluster, registry, exchange, startPod } = scene
      const [first, second] = cluster.nodes
      for (const tag of ['cached', 'kept']) {
        registry.put(repository, tag, await makeRunnableImage())
        await startPod({ name: tag, node: first, image: imageOf(tag) })
      }
      await Promise.all([registry.stop(), exchange.stop()])
      await startPod({ name: 'from-cache', node: second, image: imageOf('cached') })
    }))

  test(
    'killed, it comes back by itself, with its cache, though the upstream is stopped (K174)',
    {
      skip: given !== undefined && 'nobody gets onto the nodes of a cluster that is given',
    },
    () =>
      scene.explained(async () => {
        const { cluster, startPod } = scene
        for (const node of nodes) await node.attempt(['pkill', '-KILL', '-f', 'bin/berth serve'])
        await until('it was started again', async () => {
          const path = 'jsonpath={.items[*].status.containerStatuses[*].restartCount}'
          const count = await cluster.kubectl(['get', 'pods', '-n', namespaces.berth, '-o', path])
          assert.equal(count, '1')
        })
        const [, second] = cluster.nodes
        await startPod({ name: 'from-kept-cache', node: second, image: imageOf('kept') })
      }),
  )

  test('while it is rolled out anew, and a pod of it is deleted, no pull fails (K161, K164)', () =>
    scene.explained(async () => {
      const { cluster, registry, exchange, install } = scene
      await Promise.all([registry.start(), exchange.start()])
      await install(4, { replicas: 2, peers: { enabled: true } })
      const image = await makeRunnableImage()
      registry.put(repository, 'steady', image)
      const urls = cluster.nodes.map(({ address }) => `http://${address}:30026`)
      const pulls = startSteadyPulls({ urls, login, repository, tag: 'steady', image })
      const inBerth = ['-n', namespaces.berth]
      await cluster.kubectl(['rollout', 'restart', ...inBerth, 'deployment/berth'])
      await cluster.kubectl(['rollout', 'status', ...inBerth, 'deployment/berth', '--timeout=170s'])
      const [pod = ''] = (await cluster.kubectl(['get', 'pods', ...inBerth, '-o', 'name'])).split(
        '\n',
      )
      await cluster.kubectl(['delete', ...inBerth, pod, '--wait'])
      await cluster.kubectl(['rollout', 'status', ...inBerth, 'deployment/berth', '--timeout=60s'])
      assert.deepEqual(await pulls.stop(), [])
      assert.ok(pulls.count() > 10, `${pulls.count()} pulls`)
    }))

  test('three pods of it request each blob once, for 50 clients', () =>
    scene.explained(async () => {
      const { cluster, registry, install } = scene
      await install(4, { replicas: 3, peers: { enabled: true } })
      const image = await makeRunnableImage()
      registry.put(repository, 'once', image)
      const inBerth = ['-n', namespaces.berth]
      const addressed = 'jsonpath={.subsets[*].addresses[*].targetRef.name}'
      const pods = await until('three pods are ready', async () => {
        const words = ['get', 'endpoints', 'berth-peers', ...inBerth, '-o', addressed]
        const names = (await cluster.kubectl(words)).split(' ').filter(Boolean)
        assert.equal(names.length, 3)
        return names
      })
      const ask = `fetch('http://127.0.0.1:9026/metrics').then((reply) => reply.text()).then(console.log)`
      for (const pod of pods)
        await until(`${pod} knows the others`, async () => {
          const metrics = await cluster.kubectl(['exec', ...inBerth, pod, '--', 'node', '-e', ask])
          assert.match(metrics, /^berth_replicas 3$/m)
        })
      const authorization = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`
      const headers = { authorization, connection: 'close' }
      const [{ address } = { address: '' }] = cluster.nodes
      const pulls = Array.from({ length: 50 }, () =>
        Promise.all(
          image.blobs.map(async ({ digest, bytes }) => {
            const url = `http://${address}:30026/v2/${repository}/blobs/${digest}`
            const { status, body } = await get(url, { headers })
            assert.deepEqual([status, body.equals(bytes)], [200, true])
          }),
        ),
      )
      await Promise.all(pulls)
      for (const { digest } of image.blobs)
        assert.equal(registry.count(new RegExp(`^GET .*/blobs/${digest}$`)), 1)
    }))

  test('uninstalled, it leaves nothing in its namespace', () =>
    scene.explained(async () => {
      const { cluster, uninstall } = scene
      await uninstall(4)
      const kinds = 'deployments,daemonsets,services,secrets,serviceaccounts,configmaps,roles,jobs'
      const all = ['get', kinds, '-n', namespaces.berth, '-o', 'name']
      const left = (await cluster.kubectl(all)).trim().split('\n')
      assert.deepEqual(left.toSorted(), ['configmap/kube-root-ca.crt', 'serviceaccount/default'])
    }))
})
