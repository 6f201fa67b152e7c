import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { connect } from 'node:tls'
import { exampleValues } from '../support/chart.ts'
import type { Cluster } from '../support/cluster.ts'
import type { ClusterNode } from '../support/cluster-node.ts'
import {
  type ClusterScene,
  login,
  makePullSecret,
  namespaces,
  setClusterScene,
} from '../support/cluster-scene.ts'
import { givenCluster } from '../support/given-cluster.ts'
import { type IngressParts, startIngress } from '../support/ingress.ts'
import { volumeOnNode } from '../support/node-volume.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { tool } from '../support/programs.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'
import { until } from '../support/until.ts'

const host = 'registry.example.com'
const secret = 'registry-tls'
const volume = '/var/lib/berth-trusted-test'
/** Each node has its own /var/lib. */
const providerDirectory = '/var/lib/berth-kubelet'
const repository = 'local/team/app'
const skip = givenCluster() !== undefined && 'it takes a cluster of our own'

/** An example, for this cluster, with service accounts in addition. */
function valuesOf(name: 'ingress' | 'gateway') {
  const example = exampleValues(name)
  const access = [
    { users: [login.user], repositories: ['**'], actions: ['pull', 'push'] },
    {
      groups: [`system:serviceaccounts:${namespaces.apps}`],
      repositories: ['local/**'],
      actions: ['pull'],
    },
  ]
  return {
    ...example,
    hosted: { ...example['hosted'], storageClass: 'local', size: '1Gi', keep: false },
    auth: { serviceAccounts: { enabled: true, kubelets: true } },
    trust: { ...example['trust'], credentialProvider: providerDirectory },
    config: { auth: { access } },
  }
}

describe('a persistent registry with one name for nodes, pods and laptops', { skip }, () => {
  let scene: ClusterScene<Cluster>
  let ingress: IngressParts
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'berth-trusted-'))
    scene = await setClusterScene('iptables')
    await scene.explained(async () => {
      const { cluster } = scene
      ingress = await startIngress(cluster, host)
      await cluster.apply(await volumeOnNode(cluster.nodes[0], volume))
      await scene.install(3, valuesOf('ingress'))
      await makePullSecret(cluster, { name: 'trusted', server: host })
    })
  })
  after(async () => {
    await scene?.close()
    await rm(directory, { recursive: true, force: true })
  })

  /** A field of the certificate's Secret. */
  const readSecret = async (name: string, field: string) => {
    const path = `jsonpath={.data.${field.replace('.', '\\.')}}`
    const words = ['get', 'secret', name, '-n', namespaces.berth, '-o', path]
    const text = Buffer.from(await scene.cluster.kubectl(words), 'base64').toString()
    assert.notEqual(text, '', `${name} has no ${field}`)
    return text
  }
  const serialOf = async (name: string) =>
    new X509Certificate(await readSecret(name, 'tls.crt')).serialNumber

  /** What a laptop has: a login, and the authority that it has fetched. */
  const laptop = async (name: string, authority: string) => {
    const file = join(directory, `${name}.crt`)
    await writeFile(file, authority)
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
    const environment = { HOME: directory, DOCKER_CONFIG: directory, SSL_CERT_FILE: file }
    return (...words: readonly string[]) => ingress.outside([tool('crane'), ...words], environment)
  }
  type Crane = Awaited<ReturnType<typeof laptop>>

  const push = async (crane: Crane, tag: string) => {
    const layout = join(directory, `layout-${tag}`)
    const image = await makeRunnableImage()
    await writeLayout(layout, tag, image)
    await crane('push', layout, `${host}/${repository}:${tag}`)
    return image
  }
  const startOn = (node: ClusterNode, tag: string, secretName: string | null = 'trusted') =>
    scene.startPod({
      name: `${tag}-${node.name}`,
      node,
      image: `${host}/${repository}:${tag}`,
      secret: secretName,
    })

  /** As `cmctl renew`. */
  const renew = async (name: string) => {
    const { kubectl } = scene.cluster
    const at = ['certificate', name, '-n', namespaces.berth]
    const before = await serialOf(name)
    const { status } = JSON.parse(await kubectl(['get', ...at, '-o', 'json']))
    const issuing = {
      type: 'Issuing',
      status: 'True',
      reason: 'ManuallyTriggered',
      message: 'renewal',
      lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ''),
    }
    const patch = JSON.stringify({ status: { conditions: [...status.conditions, issuing] } })
    await kubectl(['patch', ...at, '--subresource=status', '--type=merge', '-p', patch])
    await until(`${name} is renewed`, async () => assert.notEqual(await serialOf(name), before))
  }
  const serves = async (serial: string, authority: string) =>
    until('the new certificate is served', async () =>
      assert.equal(await servedSerial(scene.cluster.nodes[0].address, authority), serial),
    )

  test('a laptop pushes, and pods of all nodes pull, by the name of the Ingress and a certificate of its authority', () =>
    scene.explained(async () => {
      const crane = await laptop('first', await readSecret(secret, 'ca.crt'))
      const image = await push(crane, 'first')
      assert.equal((await crane('digest', `${host}/${repository}:first`)).trim(), image.digest)
      for (const node of scene.cluster.nodes) await startOn(node, 'first')
      const [node] = scene.cluster.nodes
      const why = await scene.failPod({
        name: 'stranger',
        node,
        image: `${host}/${repository}:first`,
        secret: null,
      })
      assert.match(why, /401|unauthorized|no basic auth/i)
      const unknown = await ingress
        .outside([tool('crane'), 'digest', `${host}/${repository}:first`])
        .catch(String)
      assert.match(String(unknown), /certificate signed by unknown authority/)
    }))

  test('while the certificate is renewed, pulls go on, and after it', (t) =>
    scene.explained(async () => {
      const authority = await readSecret(secret, 'ca.crt')
      const crane = await laptop('renewing', authority)
      await push(crane, 'renewed')
      const pulls = startPulls(t, crane, directory)
      await renew(secret)
      await serves(await serialOf(secret), authority)
      for (const node of scene.cluster.nodes) await startOn(node, 'renewed')
      assert.deepEqual(await pulls.stop(), [])
      assert.ok(pulls.count() > 1, `${pulls.count()} pulls`)
    }))

  test('a renewed authority reaches the nodes; clients that have the old one do not notice', (t) =>
    scene.explained(async () => {
      const before = await readSecret(secret, 'ca.crt')
      const crane = await laptop('old-authority', before)
      await push(crane, 'authority')
      const pulls = startPulls(t, crane, directory)
      await renew('registry-ca')
      await renew(secret)
      const renewed = await readSecret(secret, 'ca.crt')
      assert.notEqual(renewed, before)
      await serves(await serialOf(secret), renewed)
      const [first, second] = scene.cluster.nodes
      await startOn(first, 'authority')
      // Kubelets look at a pod that has changed at once, at the Secrets of others within a minute or two.
      const agents = ['-l', 'app.kubernetes.io/component=trust', '-n', namespaces.berth]
      await scene.cluster.kubectl(['annotate', 'pods', ...agents, 'look=now'])
      for (const node of scene.cluster.nodes)
        await until(`${node.name} has the renewed authority`, async () => {
          const written = await node.run(['cat', `/etc/containerd/certs.d/${host}/berth-ca.crt`])
          assert.ok(written.endsWith(renewed), written)
        })
      await startOn(second, 'authority')
      assert.deepEqual(await pulls.stop(), [])
    }))

  test("with the files of the trust agent, and the kubelet's flags that it names, pods pull as themselves", () =>
    scene.explained(async () => {
      const crane = await laptop('provider', await readSecret(secret, 'ca.crt'))
      await push(crane, 'as-itself')
      for (const node of scene.cluster.nodes) {
        const [programs, configuration] = await flagsFor(scene.cluster, node)
        await node.provideCredentials(configuration, programs)
      }
      const ready = ['wait', 'node', '--all', '--for=condition=Ready', '--timeout=120s']
      await scene.cluster.kubectl(ready)
      for (const node of scene.cluster.nodes) await startOn(node, 'as-itself', null)
      const selector = ['-l', 'app.kubernetes.io/component=registry', '--tail=-1']
      const log = await scene.cluster.kubectl(['logs', '-n', namespaces.berth, ...selector])
      assert.match(log, /"user":"system:serviceaccount:apps:default"/)
    }))

  test('a Gateway takes over from the Ingress, with the images that are there', () =>
    scene.explained(async () => {
      await scene.install(4, valuesOf('gateway'))
      const { kubectl } = scene.cluster
      const inBerth = ['-n', namespaces.berth]
      assert.equal(await kubectl(['get', 'ingress', ...inBerth, '-o', 'name']), '')
      const waiting = ['wait', ...inBerth, '--timeout=60s']
      await kubectl([...waiting, 'certificate/registry-gateway-tls', '--for=condition=Ready'])
      await kubectl([...waiting, 'gateway/registry', '--for=condition=Programmed'])
      const crane = await laptop('gateway', await readSecret('registry-gateway-tls', 'ca.crt'))
      await until('the Gateway serves', () => crane('digest', `${host}/${repository}:first`))
      await push(crane, 'by-gateway')
      for (const node of scene.cluster.nodes) await startOn(node, 'by-gateway')
    }))

  test('nodes that can neither resolve nor reach the Gateway pull by the same name', () =>
    scene.explained(async () => {
      const { nodes } = scene.cluster
      await push(
        await laptop('bypassed', await readSecret('registry-gateway-tls', 'ca.crt')),
        'bypass',
      )
      const trust = { enabled: true, registries: [host], server: 'http://localhost:30026' }
      await scene.install(4, { ...valuesOf('gateway'), exposure: { mode: 'nodePort' }, trust })
      for (const node of nodes) await node.run(['umount', '/etc/hosts'])
      for (const node of nodes) await startOn(node, 'bypass')
    }))
})

/** Directory of programs and configuration file, as the agent on the node says. */
async function flagsFor(
  { kubectl }: Cluster,
  node: ClusterNode,
): Promise<readonly [string, string]> {
  const ofNode = ['--field-selector', `spec.nodeName=${node.name}`]
  const selector = ['-l', 'app.kubernetes.io/component=trust', '-n', namespaces.berth]
  const pod = (await kubectl(['get', 'pods', ...selector, ...ofNode, '-o', 'name'])).trim()
  const log = await kubectl(['logs', '-n', namespaces.berth, pod])
  const flags =
    /--image-credential-provider-bin-dir=(\S+) --image-credential-provider-config=(\S+?)[, ]/
  const [, programs = '', configuration = ''] = flags.exec(log) ?? []
  assert.ok(programs !== '' && configuration !== '', log)
  return [programs, configuration]
}

/** The serial number of the certificate at the Ingress, verified. */
function servedSerial(address: string, ca: string): Promise<string> {
  const done = Promise.withResolvers<string>()
  const socket = connect({ host: address, port: 443, servername: host, ca }, () => {
    done.resolve(socket.getPeerCertificate().serialNumber)
    socket.end()
  })
  socket.on('error', done.reject)
  return done.promise
}

/** A client that pulls the first image again and again, by a new connection each time. */
function startPulls(
  t: TestContext,
  crane: (...words: readonly string[]) => Promise<string>,
  directory: string,
) {
  const failures: string[] = []
  let pulled = 0
  let isOver = false
  t.after(() => {
    isOver = true
  })
  const pull = async () => {
    const file = join(directory, 'pulled.tar')
    await rm(file, { force: true })
    await crane('pull', `${host}/${repository}:first`, file)
    pulled += 1
  }
  const pulling = (async () => {
    while (!isOver) await pull().catch((error: unknown) => failures.push(String(error)))
  })()
  return {
    count: () => pulled,
    stop: async (): Promise<readonly string[]> => {
      isOver = true
      await pulling
      return failures
    },
  }
}
