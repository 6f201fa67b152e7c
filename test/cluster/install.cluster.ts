import assert from 'node:assert/strict'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { berthImage } from '../support/berth-image.ts'
import type { Cluster } from '../support/cluster.ts'
import { type ClusterScene, setClusterScene } from '../support/cluster-scene.ts'
import { main } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { volumeOnNode } from '../support/node-volume.ts'
import { attempt, tool } from '../support/programs.ts'
import { buildRegistryImage, registryImage } from '../support/registry-image.ts'
import { tarFile } from '../support/tar-file.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const readme = await readFile(new URL('../../src/install/README.md', import.meta.url), 'utf8')
const image = `${berthImage.repository}:${berthImage.tag}`
const volume = '/var/lib/berth-install-test'

/** The commands of a section of the manual, one by one. */
function commandsOf(heading: string): readonly string[] {
  const [, block = ''] =
    new RegExp(`^## ${heading}$[^]*?^\`\`\`sh\n([^]*?)^\`\`\``, 'm').exec(readme) ?? []
  return block.trim().split('\n')
}

/** As minikube's add-on: a registry without TLS and without users, behind port 80 of a Service. */
const labels = { 'kubernetes.io/minikube-addons': 'registry' }
const metadata = { name: 'registry', namespace: 'kube-system' }
const minikubeRegistry = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [
            {
              name: 'registry',
              image: registryImage,
              imagePullPolicy: 'Never',
              env: [{ name: 'REGISTRY_STORAGE_DELETE_ENABLED', value: 'true' }],
              volumeMounts: [{ name: 'images', mountPath: '/var/lib/registry' }],
            },
          ],
          volumes: [{ name: 'images', emptyDir: {} }],
        },
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { selector: labels, ports: [{ port: 80, targetPort: 5000 }] },
  },
]

describe('the commands of the manual, in a cluster of two nodes', () => {
  let scene: ClusterScene<Cluster>
  let environment: Readonly<Record<string, string>>

  before(async () => {
    scene = await setClusterScene('iptables', { loadsImage: true })
    const [node] = scene.cluster.nodes
    await scene.cluster.apply(await volumeOnNode(node, volume))
    const programs = join(directory, 'bin')
    await mkdir(programs)
    await symlink(main, join(programs, 'kubectl-berth'))
    const path = [programs, dirname(tool('kubectl')), dirname(process.execPath), '/usr/bin:/bin']
    environment = {
      PATH: path.join(':'),
      HOME: directory,
      KUBECONFIG: scene.cluster.kubeconfig,
      DOCKER_CONFIG: directory,
    }
  })
  after(() => scene?.close())

  /** Runs a command as a user types it. What it wrote. */
  const type = async (command: string) => {
    const typed = ['bash', '-o', 'pipefail', '-c', command]
    const options = { environment, directory, patience: 300 }
    const { status, stdout, output } = await attempt(typed, options)
    assert.equal(status, 0, `${command}: ${output}`)
    return { stdout, output }
  }
  test('Berth is installed, used and removed; its images stay', () =>
    scene.explained(async () => {
      const written: string[] = []
      for (const command of commandsOf('Berth as a registry for pushed images')) {
        if (command.startsWith('docker login')) {
          await logIn(written.join(''))
          continue
        }
        const more = / install /.test(command) ? ` --image ${image} --storage-class local` : ''
        const { stdout } = await type(`${command.replace(/ +#.*/, '')}${more}`)
        written.push(stdout)
        if (/ pull /.test(command)) assert.equal(stdout, 'hello world\n')
        if (/ list /.test(command)) assert.match(stdout, /^local\/hello\.txt +latest$/m)
        if (/ logs /.test(command))
          assert.match(stdout, /"user":"berth","repository":"local\/hello.txt"/)
      }
      const words = ['get', 'all,secrets,configmaps,persistentvolumeclaims', '-n', 'registry']
      await until('only the claim is left', async () => {
        const left = (await scene.cluster.kubectl([...words, '-o', 'name'])).trim().split('\n')
        const ours = left.filter((name) => /berth/.test(name))
        assert.deepEqual(ours, ['persistentvolumeclaim/berth-hosted'])
      })
    }))

  /** As `docker login` stores it. */
  const logIn = async (text: string) => {
    const [, password = ''] = /user berth, password (\S+)/.exec(text) ?? []
    const auth = Buffer.from(`berth:${password}`).toString('base64')
    const config = { auths: { 'localhost:30026': { auth } } }
    await writeFile(join(directory, 'config.json'), JSON.stringify(config))
  }

  test('it serves HTTPS by an authority that was made here, to pods on both nodes', () =>
    scene.explained(async () => {
      const install = 'kubectl berth simple install -n registry --anonymous --wait'
      await type(`${install} --image ${image} --authentication self-signed --storage-class local`)
      const words = [
        'get',
        'secret',
        'berth-tls',
        '-n',
        'registry',
        '-o',
        'jsonpath={.data.ca\\.crt}',
      ]
      const file = join(directory, 'ca.crt')
      await writeFile(file, Buffer.from(await scene.cluster.kubectl(words), 'base64'))
      const [node] = scene.cluster.nodes
      const asked = `curl --silent --fail --cacert ${file} --connect-to localhost:30026:${node.address}:30026`
      await until('it answers', () => type(`${asked} https://localhost:30026/v2/`))
      const { stdout } = await type(`kubectl berth list --all -n registry --certificate ${file}`)
      assert.match(stdout, /^local\/hello\.txt +latest$/m)
      await type('kubectl berth simple uninstall -n registry --delete-images')
    }))

  test("Reposure's own commands, in Berth's words, with a stand-in of minikube's registry", () =>
    scene.explained(async () => {
      await scene.cluster.importImage(await buildRegistryImage(directory))
      await scene.cluster.apply(...minikubeRegistry)
      const ip = [
        'get',
        'service',
        'registry',
        '-n',
        'kube-system',
        '-o',
        'jsonpath={.spec.clusterIP}',
      ]
      const address = await scene.cluster.kubectl(ip)
      // Services have no names here, because the cluster has no DNS.
      const reachable = (command: string) =>
        command
          .replace(/ +#.*/, '')
          .replace('--provider minikube', `--host ${address}:80 --plain-http`)
      const archive = dockerImage('localhost/catalog/myimage:latest')
      await writeFile(join(directory, 'myimage.tar'), tarFile(dockerItems([archive])))
      for (const command of commandsOf('Coming from Reposure')) {
        const more = /operator install/.test(command) ? ` --image ${image}` : ''
        const { stdout } = await type(`${reachable(command)}${more}`)
        if (/ pull /.test(command)) assert.equal(stdout, 'hello world\n')
        if (/ create /.test(command)) await checkRegistry()
        if (/ list /.test(command)) {
          assert.match(stdout, /^catalog\/hello +latest$/m)
          assert.match(stdout, /^catalog\/myimage +latest$/m)
        }
      }
      const { kubectl } = scene.cluster
      assert.equal(await kubectl(['get', 'registries', '-A', '-o', 'name']), '')
      const surrogates = ['get', 'pods', '-A', '-l', 'app.kubernetes.io/component=surrogate']
      await until('the surrogate is gone', async () =>
        assert.equal(await kubectl([...surrogates, '-o', 'name']), ''),
      )
    }))

  const checkRegistry = async () => {
    const list = await type('kubectl berth registry list')
    assert.match(list.stdout, /^default +\S+:80 +True/m)
    const { stdout } = await type('kubectl berth registry describe default')
    assert.match(stdout, /Authenticated +True/)
    assert.match(stdout, /default-surrogate-\S+ +Running +node[12] +0 +ready/)
    const info = await type('kubectl berth registry info default -o json')
    const { answers, features } = JSON.parse(info.stdout)
    // Distribution 2.8 has no referrers API.
    assert.deepEqual(
      [answers, features],
      [true, { catalog: 'yes', referrers: 'no', delete: 'yes' }],
    )
    const logs = await type('kubectl berth registry logs default --tail 5')
    assert.match(logs.stdout, /"level":"info"/)
  }
})
