import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Cluster } from './cluster.ts'
import type { ClusterNode, ProxyMode } from './cluster-node.ts'
import { type ClusterScene, makePullSecret, namespaces, setClusterScene } from './cluster-scene.ts'
import { main } from './command.ts'
import { givenCluster } from './given-cluster.ts'
import { makeRunnableImage } from './runnable-image.ts'
import { until } from './until.ts'

const repository = 'my-project/my-repository/app'
/** Pods end immediately, because no client pulls meanwhile. */
const config = { shutdown: { delay: 0, deadline: '1s' } }

/** Seconds: kubelet tries to pull again after ten, twenty, forty and eighty. */
const bootPatience = 300

/** Every way by which nodes can reach Berth, and what `berth doctor node` says of it there. */
export function describeExposures(mode: ProxyMode): void {
  const skip = givenCluster() !== undefined && 'it takes a cluster of our own'
  describe(`how nodes reach Berth, kube-proxy in ${mode} mode`, { skip }, () => testExposures(mode))
}

function testExposures(mode: ProxyMode): void {
  let scene: ClusterScene<Cluster>
  before(async () => {
    scene = await setClusterScene(mode)
  })
  after(() => scene?.close())

  const expose = async (exposure: string) => {
    await scene.uninstall(4)
    await scene.install(4, { exposure: { mode: exposure }, config, replicas: 1 })
  }

  /** An image that no node has, and a name for a pod of it. */
  const newImage = async (tag: string): Promise<string> => {
    scene.registry.put(repository, tag, await makeRunnableImage(100_000))
    return `localhost:30026/${repository}:${tag}`
  }

  /** Pods of an image that is new run on both nodes, as the doctor says. */
  const checkPods = async (name: string) => {
    const image = await newImage(name)
    for (const node of scene.cluster.nodes) {
      await scene.startPod({ name: `${name}-${node.name}`, node, image })
      assert.ok(await doctorSays(node, 0))
    }
  }

  const isIptables = mode === 'iptables'
  test(`a NodePort ${isIptables ? 'answers' : 'refuses'} on 127.0.0.1, and answers on the node's address (K169)`, () =>
    scene.explained(async () => {
      await expose('nodePort')
      for (const node of scene.cluster.nodes) {
        await soonAnswers(node, `${node.address}:30026`)
        if (isIptables) await soonAnswers(node, '127.0.0.1:30026')
        else assert.equal(await answers(node, '127.0.0.1:30026'), 'ECONNREFUSED')
        assert.equal(await answers(node, '[::1]:30026'), 'ECONNREFUSED')
      }
      if (isIptables) return checkPods('node-port')
      const [node] = scene.cluster.nodes
      const image = await newImage('node-port')
      assert.match(await scene.failPod({ name: 'node-port', node, image }), /connection refused/)
      assert.match(await doctorSays(node, 1), /nftables/)
    }))

  test('as a mirror, nodes come by their own address, under the name of the upstream', () =>
    scene.explained(async () => {
      await expose('mirror')
      const { host } = scene.registry
      await makePullSecret(scene.cluster, { name: 'mirror', server: host })
      await newImage('mirror')
      const image = `${host}/${repository}:mirror`
      for (const node of scene.cluster.nodes)
        await scene.startPod({ name: `mirror-${node.name}`, node, image, secret: 'mirror' })
      assert.deepEqual(strangers(scene), [])
      await checkPods('localhost-by-mirror')
      await scene.uninstall(4)
      for (const { name, configuration } of scene.cluster.nodes)
        assert.deepEqual(await readdir(join(configuration, 'certs.d')), [], name)
    }))

  test("as a hostPort, the CNI's portmap brings 127.0.0.1 to the pod of the node", () =>
    scene.explained(async () => {
      await expose('hostPort')
      await checkPods('host-port')
    }))

  test('on the host network, it listens on 127.0.0.1 and ::1 itself, and nowhere else', () =>
    scene.explained(async () => {
      await expose('hostNetwork')
      for (const node of scene.cluster.nodes) {
        await soonAnswers(node, '127.0.0.1:30026')
        await soonAnswers(node, '[::1]:30026')
        assert.equal(await answers(node, `${node.address}:30026`), 'ECONNREFUSED')
      }
      await checkPods('host-network')
    }))

  // kube-proxy has no part in it.
  if (isIptables) return

  test('a node that boots runs the pods that it had, Berth among them (K170)', () =>
    scene.explained(async () => {
      const [, node] = scene.cluster.nodes
      const image = await newImage('before-boot')
      await scene.startPod({ name: 'before-boot', node, image })
      await node.reboot()
      await until(
        'its pods were started again',
        async () => {
          const path = 'jsonpath={.status.containerStatuses[*].restartCount}'
          const pod = ['get', 'pod', '-n', namespaces.apps, 'before-boot', '-o', path]
          assert.notEqual(await scene.cluster.kubectl(pod), '0')
        },
        bootPatience,
      )
      await checkPods('after-boot')
    }))
}

/** The output of `berth doctor node` on a node, which must exit with this status. */
async function doctorSays(node: ClusterNode, wanted: number): Promise<string> {
  const doctor = [process.execPath, main, 'doctor', 'node', '--node-ip', node.address]
  const { status, output } = await node.attempt(doctor)
  assert.equal(status, wanted, output)
  return output
}

/** The status that a node gets for `/v2/`, or the error's code. */
async function answers(node: ClusterNode, host: string): Promise<string> {
  const asked = `fetch('http://${host}/v2/', { signal: AbortSignal.timeout(10_000) })`
  const told = `${asked}.then(({ status }) => status, ({ cause, name }) => cause?.code ?? name)`
  const output = await node.run([process.execPath, '--print', `${told}.then(console.log), ''`])
  return output.trim()
}

/** kube-proxy takes a second to know of a change. */
function soonAnswers(node: ClusterNode, host: string): Promise<void> {
  return until(`${host} answers`, async () => assert.equal(await answers(node, host), '401'))
}

/** Requests to the upstream that Berth did not make: it names itself. */
function strangers({ registry }: ClusterScene): readonly string[] {
  return registry.requests
    .map(({ headers }) => headers['user-agent'] ?? '')
    .filter((agent) => !agent.startsWith('berth'))
}
