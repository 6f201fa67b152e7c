import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Cluster } from '../support/cluster.ts'
import {
  type ClusterScene,
  login,
  namespaces,
  provider,
  setClusterScene,
} from '../support/cluster-scene.ts'
import { main } from '../support/command.ts'
import { givenCluster } from '../support/given-cluster.ts'
import { createNode, type Node } from '../support/kubelet.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'

const repository = 'my-project/my-repository/team/app'
const audience = `https://iam.googleapis.com/${provider}`
const skip = givenCluster() !== undefined && 'its kubelets are not ours'

describe("kubelets that ask Berth's credential provider", { skip }, () => {
  let directory: string
  let scene: ClusterScene<Cluster>
  let provided: Node
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'berth-provider-'))
    scene = await setClusterScene('iptables')
    await scene.explained(async () => {
      await scene.install(3, { replicas: 1 })
      provided = await provide(scene, directory)
    })
  })
  after(async () => {
    await scene?.close()
    await provided?.close()
    await rm(directory, { recursive: true, force: true })
  })

  test('run pods that have no imagePullSecret, from Berth', () =>
    scene.explained(async () => {
      scene.registry.put(repository, 'by-berth', await makeRunnableImage())
      const image = `localhost:30026/${repository}:by-berth`
      for (const node of scene.cluster.nodes)
        await scene.startPod({ name: `by-berth-${node.name}`, node, image, secret: null })
    }))

  test('run pods from Artifact Registry itself, as the service account of each', () =>
    scene.explained(async () => {
      const { registry, exchange, cluster } = scene
      registry.put(repository, 'direct', await makeRunnableImage())
      const image = `${registry.host}/${repository}:direct`
      for (const node of cluster.nodes)
        await scene.startPod({ name: `direct-${node.name}`, node, image, secret: null })
      assert.ok(exchange.subjects.includes(`system:serviceaccount:${namespaces.apps}:default`))
    }))
})

/** Configures Berth as the provider of all nodes, for itself and for the registry. */
async function provide(
  { cluster, registry, exchange }: ClusterScene<Cluster>,
  directory: string,
): Promise<Node> {
  const passwordFile = join(directory, 'password')
  const file = join(directory, 'credentials.json')
  await writeFile(passwordFile, login.password)
  const credentials = {
    type: 'external_account',
    audience: `//iam.googleapis.com/${provider}`,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: exchange.tokenUrl,
  }
  await writeFile(file, JSON.stringify(credentials))
  const node = await createNode(
    [
      {
        url: 'http://localhost:30026',
        credentials: { type: 'static', username: login.user, passwordFile },
      },
      { prefix: 'direct', url: registry.url, credentials: { type: 'google', file } },
    ],
    ['--audience', audience],
  )
  const command = `exec ${process.execPath} ${main} kubelet-credential-provider "$@"`
  await node.replaceProvider(`#!/bin/sh\n${command}\n`)
  await cluster.apply(...audienceForNodes)
  for (const { configuration, provideCredentials } of cluster.nodes) {
    const hosts = join(configuration, 'certs.d', registry.host)
    await mkdir(hosts, { recursive: true })
    await writeFile(
      join(hosts, 'hosts.toml'),
      `server = "${registry.url}"\n[host."${registry.url}"]\n`,
    )
    await provideCredentials(node.file, node.programs)
  }
  return node
}

/** Without it a kubelet gets tokens only for audiences that a pod's volumes name (KEP-4412). */
const rules = [
  { apiGroups: [''], resources: [audience], verbs: ['request-serviceaccounts-token-audience'] },
]
const metadata = { name: 'image-credentials' }
const apiGroup = 'rbac.authorization.k8s.io'
const audienceForNodes = [
  { apiVersion: `${apiGroup}/v1`, kind: 'ClusterRole', metadata, rules },
  {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata,
    roleRef: { apiGroup, kind: 'ClusterRole', name: metadata.name },
    subjects: [{ apiGroup, kind: 'Group', name: 'system:nodes' }],
  },
]
