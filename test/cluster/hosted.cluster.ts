import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Cluster } from '../support/cluster.ts'
import {
  type ClusterScene,
  login,
  namespaces,
  pullSecret,
  setClusterScene,
} from '../support/cluster-scene.ts'
import type { Image } from '../support/images.ts'
import { volumeOnNode } from '../support/node-volume.ts'
import { createPushClient } from '../support/push-client.ts'
import { idle, makeRunnableImage } from '../support/runnable-image.ts'
import { until } from '../support/until.ts'

const directory = '/var/lib/berth-hosted-test'
const authorization = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`

const values = {
  replicas: 1,
  hosted: { enabled: true, storageClass: 'local', size: '1Gi', keep: false },
  config: {
    auth: {
      access: [{ users: [login.user], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
    },
    // As eager as can be: what may be deleted is deleted within seconds.
    collection: { interval: '1s', grace: '1s', trash: '1s' },
    retention: {
      interval: '1s',
      rules: [
        { name: 'tags', action: 'delete', repositories: ['**'], tags: ['**'], olderThan: '1s' },
        {
          name: 'untagged',
          action: 'delete',
          repositories: ['**'],
          untagged: true,
          olderThan: '1s',
        },
      ],
    },
  },
}

const deployment = (image: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'app', namespace: namespaces.apps },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: 'app' } },
    template: {
      metadata: { labels: { app: 'app' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        imagePullSecrets: [{ name: pullSecret }],
        containers: [{ name: 'app', image, imagePullPolicy: 'Always', command: idle }],
      },
    },
  },
})

describe('hosted repositories in a cluster of two nodes', () => {
  let scene: ClusterScene<Cluster>
  before(async () => {
    scene = await setClusterScene('iptables')
    const [node] = scene.cluster.nodes
    await scene.cluster.apply(await volumeOnNode(node, directory))
    await scene.explained(() => scene.install(3, values))
  })
  after(() => scene?.close())

  const url = () => `http://${scene.cluster.nodes[0].address}:30026`
  const ask = async (method: string, path: string) => {
    const response = await fetch(`${url()}${path}`, { method, headers: { authorization } })
    await response.arrayBuffer()
    return response.status
  }
  const push = (name: string, tag: string, image: Image) =>
    createPushClient(url(), `${login.user}:${login.password}`).push(name, image, tag)
  /** By the files on the volume: a request for a digest counts as use, and brings it back. */
  const isStored = async (digest: string) => {
    const [, hex = ''] = digest.split(':')
    const path = `${directory}/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`
    const [node] = scene.cluster.nodes
    return (await node.attempt(['test', '-e', path])).status === 0
  }
  const isCollected = ({ digest, blobs }: Image) =>
    until(`${digest} is collected`, async () => {
      const last = blobs.at(-1)?.digest ?? ''
      assert.deepEqual([await isStored(digest), await isStored(last)], [false, false])
    })

  test('an image that runs survives the deletion of its tag, retention and collection, and starts on another node', () =>
    scene.explained(async () => {
      const { cluster } = scene
      const [first, second] = cluster.nodes
      const [image, unused] = [await makeRunnableImage(), await makeRunnableImage()]
      await cluster.kubectl(['cordon', second.name])
      const others = await imagesInUse()
      await cluster.apply(deployment('localhost:30026/local/team/app:1'))
      // Otherwise the tag may be deleted before Berth knows that it is in use.
      await until('Berth knows its image', async () =>
        assert.equal(await imagesInUse(), others + 1),
      )
      await push('local/team/app', '1', image)
      await cluster.kubectl(['scale', '-n', namespaces.apps, 'deployment/app', '--replicas=1'])
      await runsOn(first.name)
      await push('local/team/idle', '1', unused)
      // Retention and collection run, and delete what nothing uses.
      await isCollected(unused)
      assert.equal(await ask('DELETE', '/v2/local/team/app/manifests/1'), 202)
      const other = await makeRunnableImage()
      await push('local/team/idle', '2', other)
      await isCollected(other)

      await cluster.kubectl(['uncordon', second.name])
      await cluster.kubectl(['cordon', first.name])
      await cluster.kubectl(['delete', 'pod', '-n', namespaces.apps, '-l', 'app=app', '--wait'])
      await runsOn(second.name)
      for (const { digest } of [image, ...image.blobs]) assert.ok(await isStored(digest), digest)
    }))

  const imagesInUse = async () => {
    const ask = `fetch('http://127.0.0.1:9026/metrics').then((reply) => reply.text()).then(console.log)`
    const words = ['exec', '-n', namespaces.berth, 'deployment/berth', '--', 'node', '-e', ask]
    const metrics = await scene.cluster.kubectl(words)
    const [, count] = /^berth_in_use_images (\d+)$/m.exec(metrics) ?? []
    assert.ok(count !== undefined, metrics)
    return Number(count)
  }

  const runsOn = (node: string) =>
    until(`the app runs on ${node}`, async () => {
      const path = 'jsonpath={.items[*].spec.nodeName} {.items[*].status.phase}'
      const words = ['get', 'pods', '-n', namespaces.apps, '-l', 'app=app', '-o', path]
      assert.equal(await scene.cluster.kubectl(words), `${node} Running`)
    })
})
