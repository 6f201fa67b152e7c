import assert from 'node:assert/strict'
import { createSign } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { berthImage } from '../support/berth-image.ts'
import type { Cluster } from '../support/cluster.ts'
import { type ClusterScene, namespaces, setClusterScene } from '../support/cluster-scene.ts'
import { runCommand } from '../support/command.ts'
import { givenCluster } from '../support/given-cluster.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'
import { assemble } from '../support/service-account-tokens.ts'
import { until } from '../support/until.ts'

const repository = 'my-project/my-repository/team-a/app'
const audience = 'berth'
const skip = givenCluster() !== undefined && 'its kubelets are not ours'

const values = {
  replicas: 1,
  htpasswd: {},
  auth: { serviceAccounts: { enabled: true, kubelets: true } },
  config: {
    auth: {
      access: [
        {
          groups: ['system:serviceaccounts:team-a'],
          repositories: ['my-project/my-repository/team-a/**', 'local/team-a/**'],
          actions: ['pull'],
        },
        {
          users: ['system:serviceaccount:team-a:ci'],
          repositories: ['local/team-a/**'],
          actions: ['push'],
        },
      ],
    },
    hosted: [{ prefix: 'local' }],
    storage: { hosted: { directory: '/var/lib/berth/hosted' } },
  },
}

/** By default from 1.35 on: an image on the node is checked for each pod as well (KEP-2535). */
const kubeletSettings = {
  featureGates: { KubeletInUserNamespace: true, KubeletEnsureSecretPulledImages: true },
  imagePullCredentialsVerificationPolicy: 'NeverVerifyPreloadedImages',
}

describe('pods and CI jobs of a cluster as themselves', { skip }, () => {
  let directory: string
  let scene: ClusterScene<Cluster>

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'berth-accounts-'))
    scene = await setClusterScene('iptables')
    await scene.explained(async () => {
      // First: a kubelet that restarts reports its pods as not ready for some seconds.
      await provide(scene, directory)
      await scene.cluster.kubectl([
        'wait',
        'node',
        '--all',
        '--for=condition=Ready',
        '--timeout=120s',
      ])
      await scene.install(3, values)
      for (const namespace of ['team-a', 'team-b'])
        await scene.cluster.kubectl(['create', 'namespace', namespace])
      await scene.cluster.kubectl(['create', 'serviceaccount', 'ci', '-n', 'team-a'])
      const code = ['curl', '--silent', '--output', '/dev/null', '--write-out', '%{http_code}']
      for (const node of scene.cluster.nodes)
        await until(`${node.name} reaches Berth`, async () =>
          assert.equal(await node.run([...code, 'http://localhost:30026/v2/']), '401'),
        )
      await until('there are default service accounts', () =>
        scene.cluster.kubectl(['get', 'serviceaccount', '-n', 'team-b', 'default']),
      )
    })
  })
  after(async () => {
    await scene?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const image = `localhost:30026/${repository}:1`
  const startIn = (namespace: string, name: string, at: 0 | 1) => ({
    name,
    namespace,
    node: scene.cluster.nodes[at],
    image,
    secret: null,
    pullPolicy: 'IfNotPresent' as const,
  })
  const createToken = async (...words: readonly string[]) =>
    (await scene.cluster.kubectl(['create', 'token', ...words])).trim()
  const statusFor = async (token: string, path = `/v2/${repository}/manifests/1`) => {
    const url = `http://${scene.cluster.nodes[0].address}:30026${path}`
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    await response.arrayBuffer()
    return response.status
  }

  test('one namespace pulls without a Secret; another may not, though the image is on the node and in the cache', () =>
    scene.explained(async () => {
      scene.registry.put(repository, '1', await makeRunnableImage())
      for (const at of [0, 1] as const) {
        await scene.startPod(startIn('team-a', `first-${at}`, at))
        const why = await scene.failPod(startIn('team-b', `other-${at}`, at))
        assert.match(why, /403/)
      }
    }))

  test('and with the upstream down, and the image pulled before, nothing changes', () =>
    scene.explained(async () => {
      await scene.registry.stop()
      try {
        for (const at of [0, 1] as const) {
          await scene.startPod(startIn('team-a', `second-${at}`, at))
          const always = { ...startIn('team-b', `again-${at}`, at), pullPolicy: 'Always' as const }
          assert.match(await scene.failPod(always), /403/)
          assert.match(await scene.failPod(startIn('team-b', `present-${at}`, at)), /403/)
        }
      } finally {
        await scene.registry.start()
      }
    }))

  test('kubectl berth pushes and lists as a service account, by a token that the API server makes', () =>
    scene.explained(async () => {
      const environment = { KUBECONFIG: scene.cluster.kubeconfig, HOME: directory }
      const as = (account: string, ...words: readonly string[]) =>
        runCommand([...words, '-n', namespaces.berth, '--service-account', account], {
          environment,
        })
      const file = join(directory, 'berth-pod-token')
      const push = ['push', '--file', '--quiet', file, 'team-a/from-laptop:1']
      const pushed = await as('team-a/ci', ...push)
      assert.equal(pushed.status, 0, pushed.stderr)
      assert.match(pushed.stdout, /^image: localhost:30026\/local\/team-a\/from-laptop:1$/m)
      const listed = await as('team-a/default', 'list', 'team-a/from-laptop')
      assert.equal(listed.stdout, '1\n', listed.stderr)
      const other = await as('team-b/default', ...push)
      assert.equal(other.status, 1)
      assert.match(other.stderr, /403|denied/)
      const absent = await as('team-a/nobody', ...push)
      assert.match(absent.stderr, /cannot create a token for the service account nobody in team-a/)
    }))

  test('tokens of the API server are accepted with the audience only, and never expired or forged', () =>
    scene.explained(async () => {
      const token = await createToken('default', '-n', 'team-a', '--audience', audience)
      assert.equal(await statusFor(token), 200)
      const [header = '', payload = '', signature = ''] = token.split('.')
      const key = await readFile(join(dirname(scene.cluster.kubeconfig), 'sa.key'), 'utf8')
      const parse = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
      const signed = (changed: object) =>
        assemble(parse(header), { ...parse(payload), ...changed }, (text) =>
          createSign('sha256').update(text).sign(key, 'base64url'),
        )
      assert.equal(await statusFor(signed({ jti: 'ours' })), 200, 'the key is the cluster’s')
      const refused = {
        'for the API server': await createToken('default', '-n', 'team-a'),
        'for others': await createToken('default', '-n', 'team-a', '--audience', 'vault'),
        expired: signed({ exp: Math.floor(Date.now() / 1000) - 120 }),
        'with another signature': `${header}.${payload}.${signature.slice(0, -8)}AAAAAAAA`,
        'without signature': assemble({ alg: 'none' }, parse(payload)),
        'of the administrator': signed({ sub: 'admin' }),
      }
      for (const [name, wrong] of Object.entries(refused))
        assert.equal(await statusFor(wrong), 401, name)
      const other = await createToken('default', '-n', 'team-b', '--audience', audience)
      assert.equal(await statusFor(other), 403)
    }))

  test('a job pushes with its projected token, where its rule allows', () =>
    scene.explained(async () => {
      const [{ address }] = scene.cluster.nodes
      const push = (name: string, repositoryName: string, serviceAccountName: string) =>
        scene.cluster.apply(
          pushJob({ name, target: `${address}:30026/${repositoryName}:1`, serviceAccountName }),
        )
      const phaseOf = (name: string, phase: string) =>
        until(
          `${name} has ${phase}`,
          async () => {
            const path = 'jsonpath={.status.phase}'
            const found = await scene.cluster.kubectl([
              'get',
              'pod',
              '-n',
              'team-a',
              name,
              '-o',
              path,
            ])
            assert.equal(found, phase)
          },
          90,
        )
      await push('allowed', 'local/team-a/file', 'ci')
      await push('denied', 'local/team-b/file', 'ci')
      await push('reader', 'local/team-a/other', 'default')
      await phaseOf('allowed', 'Succeeded')
      await phaseOf('denied', 'Failed')
      await phaseOf('reader', 'Failed')
      const log = await scene.cluster.kubectl(['logs', '-n', 'team-a', 'denied'])
      assert.match(log, /may not push local\/team-b\/file/)
      assert.doesNotMatch(log, /eyJ/)
      const token = await createToken('default', '-n', 'team-a', '--audience', audience)
      assert.equal(await statusFor(token, '/v2/local/team-a/file/manifests/1'), 200)
    }))

  test('with reviews, the token of a deleted pod is rejected', () =>
    scene.explained(async () => {
      const reviewed = { enabled: true, kubelets: true, method: 'token-review' }
      await scene.install(3, { ...values, auth: { serviceAccounts: reviewed } })
      const bound = ['default', '-n', 'team-a', '--audience', audience]
      const pod = ['--bound-object-kind', 'Pod', '--bound-object-name', 'second-0']
      const [before, afterwards] = [
        await createToken(...bound, ...pod),
        await createToken(...bound, ...pod),
      ]
      const unbound = await createToken(...bound)
      assert.equal(await statusFor(before, '/v2/'), 200)
      await scene.cluster.kubectl(['delete', 'pod', '-n', 'team-a', 'second-0', '--wait'])
      assert.equal(await statusFor(afterwards, '/v2/'), 401)
      assert.equal(await statusFor(unbound, '/v2/'), 200)
    }))

  test('no token is in the log of Berth', () =>
    scene.explained(async () => {
      const selector = ['-l', 'app.kubernetes.io/component=registry', '--tail=-1']
      const log = await scene.cluster.kubectl(['logs', '-n', namespaces.berth, ...selector])
      assert.match(log, /system:serviceaccount:team-a:default/)
      assert.doesNotMatch(log, /eyJ/)
    }))
})

/** As the manual says: the script and the configuration that the command prints. */
async function provide({ cluster }: ClusterScene<Cluster>, directory: string): Promise<void> {
  const command = 'kubelet-credential-provider'
  const file = join(directory, 'credential-provider.yaml')
  const program = join(directory, 'berth-pod-token')
  const registry = ['--registry', 'localhost:30026', '--audience', audience]
  await writeFile(program, (await runCommand([command, '--print-script'])).stdout)
  await chmod(program, 0o755)
  const printed = await runCommand([command, '--print-config', ...registry])
  await writeFile(file, printed.stdout)
  for (const node of cluster.nodes) await node.provideCredentials(file, directory, kubeletSettings)
}

type Job = { readonly name: string; readonly target: string; readonly serviceAccountName: string }

function pushJob({ name, target, serviceAccountName }: Job) {
  const token = { serviceAccountToken: { audience, path: 'token', expirationSeconds: 600 } }
  const args = ['image', 'push', '--file', '/usr/lib/os-release', target, '--plain-http']
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'team-a' },
    spec: {
      restartPolicy: 'Never',
      serviceAccountName,
      automountServiceAccountToken: false,
      containers: [
        {
          name: 'push',
          image: `${berthImage.repository}:${berthImage.tag}`,
          imagePullPolicy: 'Never',
          args: [...args, '--token-file', '/var/run/berth/token'],
          volumeMounts: [{ name: 'berth', mountPath: '/var/run/berth' }],
        },
      ],
      volumes: [{ name: 'berth', projected: { sources: [token] } }],
    },
  }
}
