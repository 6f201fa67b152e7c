import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type ClusterScene, login, namespaces, setClusterScene } from '../support/cluster-scene.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'

const repository = 'my-project/my-repository/team/app'
const image = (tag: string) => `localhost:30026/${repository}:${tag}`

describe('a cluster of two nodes, Berth installed by helm 3 behind a NodePort, kube-proxy in iptables mode', () => {
  let scene: ClusterScene
  before(async () => {
    scene = await setClusterScene('iptables')
    scene.registry.put(repository, 'v1', await makeRunnableImage())
    await scene.explained(() => scene.install(3, { replicas: 1 }))
  })
  after(() => scene?.close())

  test('pods on both nodes run from localhost, by the token of the pod of Berth', () =>
    scene.explained(async () => {
      const [first, second] = scene.cluster.nodes
      await scene.startPod({ name: 'first', node: first, image: image('v1') })
      await scene.startPod({ name: 'second', node: second, image: image('v1') })
      const subject = `system:serviceaccount:${namespaces.berth}:berth`
      assert.deepEqual([...new Set(scene.exchange.subjects)], [subject])
    }))
})
