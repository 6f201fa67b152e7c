import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { berthImage } from '../support/berth-image.ts'
import { createAuthority } from '../support/certificates.ts'
import type { Cluster } from '../support/cluster.ts'
import {
  type ClusterScene,
  login,
  namespaces,
  pullSecret,
  setClusterScene,
} from '../support/cluster-scene.ts'
import { runCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { htpasswdLine } from '../support/docker-registry.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { volumeOnNode } from '../support/node-volume.ts'
import { buildRegistryImage, registryImage } from '../support/registry-image.ts'
import { idle, makeRunnableImage } from '../support/runnable-image.ts'
import { tarFile } from '../support/tar-file.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const secret = 'spool-login'
const examples = new URL('../../charts/spooler/', import.meta.url).pathname

const volumes = {
  hosted: '/var/lib/berth-spool-test/hosted',
  spool: '/var/lib/berth-spool-test/spool',
  other: '/var/lib/berth-spool-test/other',
}

const values = {
  replicas: 1,
  hosted: { enabled: true, storageClass: 'local', size: '1Gi', keep: false },
  spool: {
    enabled: true,
    user: login.user,
    passwordSecret: secret,
    persistence: { enabled: true, storageClass: 'spool', size: '1Gi', keep: false },
  },
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
    const [node] = scene.cluster.nodes
    await scene.cluster.apply(
      await volumeOnNode(node, volumes.hosted, { name: 'spool-hosted' }),
      await volumeOnNode(node, volumes.spool, { name: 'spool-files', storageClassName: 'spool' }),
      await volumeOnNode(node, volumes.other, { name: 'spool-other', storageClassName: '' }),
    )
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

      await writeFile(file, tarFile([{ name: 'x', content: 'no image' }]))
      await copy(file, 'broken.tar')
      await assert.rejects(exec('berth', 'spool', 'wait', 'broken.tar'))
      const environment = { KUBECONFIG: scene.cluster.kubeconfig, HOME: directory }
      const words = ['status', '-n', namespaces.berth]
      const { status, stdout, stderr } = await runCommand(words, { environment })
      assert.equal(status, 0, stderr)
      assert.match(stdout, /^berth-\S+ +berth +node[12] +yes .* spooler$/m)
      assert.match(stdout, /^spool +no files wait; 1 failed$/m)
      assert.match(stdout, /^spool +broken\.tar failed .* ago: .*/m)
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

  test('a file that is copied there is mounted by a pod as an image volume', () =>
    scene.explained(async () => {
      const bytes = randomBytes(3_000_000)
      const file = join(directory, 'model.bin')
      await writeFile(file, bytes)
      await copy(file, 'model.bin:3')
      await exec('berth', 'spool', 'wait', 'model.bin:3')
      const program = await makeRunnableImage()
      await writeFile(join(directory, 'program.tar'), layoutOf(program))
      await copy(join(directory, 'program.tar'), 'program.tar')
      await exec('berth', 'spool', 'wait', 'program.tar')
      // containerd has image volumes from version 2.1 on.
      const node = scene.cluster.nodes.find(({ runtime }) => runtime === 'containerd 2')
      const local = 'localhost:30026/local'
      await scene.cluster.apply({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'mounts', namespace: namespaces.apps },
        spec: {
          nodeName: node?.name,
          terminationGracePeriodSeconds: 1,
          imagePullSecrets: [{ name: pullSecret }],
          containers: [
            {
              name: 'app',
              image: `${local}/program`,
              command: idle,
              volumeMounts: [{ name: 'model', mountPath: '/model' }],
            },
          ],
          volumes: [{ name: 'model', image: { reference: `${local}/model.bin:3` } }],
        },
      })
      const inPod = ['exec', '-n', namespaces.apps, 'mounts', '--', '/bin/busybox']
      const sum = createHash('sha256').update(bytes).digest('hex')
      await until('the pod reads the file', async () => {
        assert.match(await kubectl(...inPod, 'sha256sum', '/model/model.bin'), new RegExp(sum))
      })
    }))

  /** An example of `charts/spooler/`, with the images of this test and other changes. */
  const applyExample = async (file: string, changes: Readonly<Record<string, string>>) => {
    const all = {
      'image: berth:VERSION': `image: ${berthImage.repository}:${berthImage.tag}`,
      'image: registry:2': `image: ${registryImage}`,
      ...changes,
    }
    let text = await readFile(join(examples, file), 'utf8')
    for (const [from, to] of Object.entries(all)) text = text.replaceAll(from, () => to)
    await kubectlWith(text, 'apply', '-n', namespaces.apps, '-f', '-')
  }
  const kubectlWith = (input: string, ...words: readonly string[]) =>
    scene.cluster.kubectl(words, { input })
  /** Copies a file into the spool of a Deployment of the examples, and waits until it is pushed. */
  const spoolInto = async (deployment: string, file: string, name: string) => {
    const words = ['-n', namespaces.apps, '-l', `app=${deployment}`, '-o', 'name']
    const [found = ''] = (await kubectl('get', 'pods', ...words)).trim().split('\n')
    const target = found.replace('pod/', '')
    const inside = ['-n', namespaces.apps, '-c', 'spooler']
    await kubectl('cp', ...inside, file, `${target}:/spool/${name}`)
    const run = (...command: readonly string[]) =>
      kubectl('exec', ...inside, target, '--', ...command)
    return { said: await run('berth', 'spool', 'wait', name), run }
  }

  test('beside a docker-registry, and apart from it, spoolers push into it as the examples say', () =>
    scene.explained(async () => {
      await scene.cluster.importImage(await buildRegistryImage(directory))
      const user = { user: 'spool', password: 'spool-canary-5d17' }
      const secretOf = (name: string, stringData: Readonly<Record<string, string>>) => ({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace: namespaces.apps },
        stringData,
      })
      const { password } = user
      await scene.cluster.apply(
        secretOf('registry-login', { password, htpasswd: await htpasswdLine(user) }),
        secretOf('spooler-login', { password }),
      )
      await applyExample('beside-registry.yaml', {})
      const rollout = ['rollout', 'status', '-n', namespaces.apps, '--timeout=120s']
      await kubectl(...rollout, 'deployment/registry')
      const image = makeImage({ layers: [randomBlob(1_000_000)] })
      const file = join(directory, 'beside.tar')
      await writeFile(file, layoutOf(image))
      const { said, run } = await spoolInto('registry', file, 'app:1.2.tar')
      assert.match(said, new RegExp(`^pushed localhost:5000/app:1\\.2@${image.digest}`))
      await run('registry-pull', 'app:1.2', '/spool/again:1.tar')
      assert.match(await run('berth', 'spool', 'wait', 'again:1.tar'), new RegExp(image.digest))

      // There is no DNS in this cluster.
      const ip = ['-n', namespaces.apps, 'service', 'registry', '-o', 'jsonpath={.spec.clusterIP}']
      await applyExample('for-any-registry.yaml', {
        'https://harbor.example.com': `http://${await kubectl('get', ...ip)}:5000`,
        'robot$team+spool': 'spool',
      })
      await kubectl(...rollout, 'deployment/spooler')
      const apart = await spoolInto('spooler', file, 'app:3.tar')
      assert.match(apart.said, new RegExp(`/team/app:3@${image.digest}`))
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

  test('with tls.enabled the spooler verifies the certificate of its pod, and its files are still there', () =>
    scene.explained(async () => {
      const authority = await createAuthority('berth')
      try {
        const { certificate, key } = await authority.issue(['DNS:localhost'])
        await scene.cluster.apply({
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'berth-own-tls', namespace: namespaces.berth },
          stringData: {
            'tls.crt': certificate,
            'tls.key': key,
            'ca.crt': await readFile(authority.file, 'utf8'),
          },
        })
        await scene.install(3, {
          ...values,
          tls: { enabled: true, existingSecret: 'berth-own-tls' },
          spool: { ...values.spool, tls: { caSecret: 'berth-own-tls' } },
        })
        assert.match(await exec('cat', '/spool/done/late.tar.json'), /"state":"pushed"/)
        const file = join(directory, 'secured.txt')
        await writeFile(file, 'over TLS')
        await copy(file, 'secured.txt')
        const said = await exec('berth', 'spool', 'wait', 'secured.txt')
        assert.match(said, /^pushed localhost:30026\/local\/secured\.txt:latest@sha256:/)
        assert.equal(await exec('registry-pull', '--unpack', 'local/secured.txt'), 'over TLS')
      } finally {
        await authority.remove()
      }
    }))
})
