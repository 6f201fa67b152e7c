import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Cluster } from '../support/cluster.ts'
import { type ClusterScene, login, namespaces, setClusterScene } from '../support/cluster-scene.ts'
import { useDirectory } from '../support/directory.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'
import { tarFile } from '../support/tar-file.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const volume = '/var/lib/berth-spool-test'
const secret = 'spool-login'

const persistentVolume = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'spool-hosted' },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'local',
    persistentVolumeReclaimPolicy: 'Retain',
    hostPath: { path: volume },
  },
}

const values = {
  replicas: 1,
  hosted: { enabled: true, storageClass: 'local', size: '1Gi', keep: false },
  spool: { enabled: true, user: login.user, passwordSecret: secret },
  config: {
    auth: {
      access: [{ users: [login.user], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
    },
  },
}

/** An OCI layout with one image. */
function layoutOf({ bytes, mediaType, digest, blobs }: Image): Buffer {
  const path = (of: string) => `blobs/${of.replace(':', '/')}`
  const manifests = [{ mediaType, digest, size: bytes.length }]
  return tarFile([
    { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests }) },
    { name: path(digest), content: bytes },
    ...blobs.map((blob) => ({ name: path(blob.digest), content: Buffer.from(blob.bytes) })),
  ])
}

describe('a spooler in a cluster of two nodes', () => {
  let scene: ClusterScene<Cluster>
  before(async () => {
    scene = await setClusterScene('iptables')
    for (const node of scene.cluster.nodes)
      await node.run(['install', '-d', '-o', '65532', '-g', '65532', volume])
    await scene.cluster.apply(persistentVolume)
    await scene.cluster.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: secret, namespace: namespaces.berth },
      stringData: { password: login.password },
    })
    await scene.explained(() => scene.install(3, values))
  })
  after(() => scene?.close())

  const kubectl = (...words: readonly string[]) => scene.cluster.kubectl([...words])
  const pod = async () => {
    const selector = 'app.kubernetes.io/component=registry'
    const words = ['get', 'pods', '-n', namespaces.berth, '-l', selector, '-o', 'name']
    const [first = ''] = (await kubectl(...words)).trim().split('\n')
    return first.replace('pod/', '')
  }
  const exec = async (...words: readonly string[]) =>
    kubectl('exec', '-n', namespaces.berth, '-c', 'spooler', await pod(), '--', ...words)
  const copy = async (file: string, name: string) =>
    kubectl(
      ...['cp', '-n', namespaces.berth, '-c', 'spooler', file],
      `${await pod()}:/spool/${name}`,
    )

  test('an image that kubectl copies there runs from localhost, and registry-pull brings it back', () =>
    scene.explained(async () => {
      const image = await makeRunnableImage()
      const file = join(directory, 'app.tar')
      await writeFile(file, layoutOf(image))
      await copy(file, 'app.tar~')
      await exec('mv', '/spool/app.tar~', '/spool/team\\app:1.2.tar')
      const said = await exec('berth', 'spool', 'wait', 'team\\app:1.2.tar')
      assert.match(said, new RegExp(`local/team/app:1\\.2@${image.digest}`))
      const [node] = scene.cluster.nodes
      await scene.startPod({ name: 'spooled', node, image: 'localhost:30026/local/team/app:1.2' })

      await exec('registry-pull', 'local/team/app:1.2', '/spool/back.tar~')
      await exec('mv', '/spool/back.tar~', '/spool/back.tar')
      const again = await exec('berth', 'spool', 'wait', 'back.tar')
      assert.match(again, new RegExp(image.digest), 'the same image')
    }))

  test('a tag is deleted by an empty file, and a file comes back with the same bytes', () =>
    scene.explained(async () => {
      const file = join(directory, 'hello.txt')
      await writeFile(file, 'hello')
      await copy(file, 'hello.txt')
      await exec('berth', 'spool', 'wait', 'hello.txt')
      assert.equal(await exec('registry-pull', '--unpack', 'local/hello.txt'), 'hello')
      await exec('touch', '/spool/hello.txt!')
      await exec('berth', 'spool', 'wait', 'hello.txt!')
      await assert.rejects(exec('registry-pull', '--unpack', 'local/hello.txt'), /has no local/)
    }))

  test('killed in the middle of a push, it starts again and pushes the file', () =>
    scene.explained(async () => {
      const image = makeImage({ layers: [randomBlob(150_000_000)] })
      const file = join(directory, 'late.tar')
      await writeFile(file, layoutOf(image))
      await copy(file, 'late.tar')
      const name = await pod()
      await until('it is being pushed', async () => {
        const words = ['-n', namespaces.berth, '-c', 'spooler', name, '--tail', '20']
        assert.match(await kubectl('logs', ...words), /"file":"late\.tar".*"pushing"/)
      })
      for (const node of scene.cluster.nodes)
        await node.attempt(['pkill', '-KILL', '-f', 'bin/berth spool$'])
      await until('its container was started again', async () => {
        const path = '{.status.initContainerStatuses[0].restartCount}'
        assert.equal(
          await kubectl('get', 'pod', '-n', namespaces.berth, name, '-o', `jsonpath=${path}`),
          '1',
        )
      })
      await until('it is pushed', async () => {
        assert.match(await exec('berth', 'spool', 'wait', 'late.tar'), new RegExp(image.digest))
      })
    }))
})
