import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { installModule, installObjects } from '../../charts/install-objects.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { chart, helm, threeValues } from '../support/chart.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()

test('the objects of berth simple install are what `npm run chart:install` writes', async () => {
  const file = new URL('../../src/install/chart-objects.ts', import.meta.url)
  assert.equal(await readFile(file, 'utf8'), installModule(await installObjects()))
})

suite('berth simple, with a Kubernetes API', () => {
  let api: ApiServer
  before(async () => {
    api = await startApiServer({ hasDefinitions: true })
  })
  after(() => api?.stop())

  const berth = (...args: readonly string[]) =>
    runCommand(args, { environment: { HOME: directory, KUBECONFIG: api.kubeconfig } })
  const succeed = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await berth(...args)
    assert.equal(status, 0, stderr)
    return { stdout, stderr }
  }
  const get = async (what: string, namespace: string) =>
    JSON.parse(await api.kubectl(['get', what, '--namespace', namespace, '-o', 'json']))
  /** Of all kinds that the command makes. */
  const objectsIn = async (namespace: string) => {
    const kinds =
      'deployments,services,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets,persistentvolumeclaims,issuers,certificates'
    const words = ['get', kinds, '-l', 'app.kubernetes.io/managed-by=kubectl-berth', '-o', 'name']
    const own = await api.kubectl([...words, '--namespace', namespace])
    const roles = await api.kubectl(['get', 'clusterroles,clusterrolebindings', '-o', 'name'])
    const named = roles.split('\n').filter((name) => name.includes(`/${namespace}-berth-`))
    return [...own.split('\n').filter(Boolean), ...named].toSorted()
  }
  const removeAtEnd = (t: TestContext, namespace: string) =>
    t.after(() => berth('simple', 'uninstall', '-n', namespace, '--delete-images'))

  test('installs with a generated login, and once more with the same; removes all but the images', async (t) => {
    removeAtEnd(t, 'one')
    const { stdout } = await succeed('simple', 'install', '-n', 'one', '--authorization')
    const [, password = ''] = /user berth, password (\S+)/.exec(stdout) ?? []
    assert.ok(password.length >= 24)
    const secret = await get('secret/berth-htpasswd', 'one')
    assert.match(Buffer.from(secret.data.htpasswd, 'base64').toString(), /^berth:\$2y\$10\$/)

    const deployment = await get('deployment/berth', 'one')
    const [container] = deployment.spec.template.spec.containers
    assert.deepEqual(
      [container.image, container.imagePullPolicy],
      ['localhost/berth:0.1.0', 'Never'],
    )
    const again = await succeed('simple', 'install', '-n', 'one', '--image', 'example.com/berth:1')
    assert.doesNotMatch(again.stdout, /password/)
    assert.match(again.stderr, /kept Secret berth-htpasswd in namespace one as it is/)
    const changed = await get('deployment/berth', 'one')
    assert.equal(changed.spec.template.spec.containers[0].image, 'example.com/berth:1')
    assert.equal((await get('secret/berth-htpasswd', 'one')).data.htpasswd, secret.data.htpasswd)

    const removed = await succeed('simple', 'uninstall', '-n', 'one')
    assert.match(removed.stdout, /kept: PersistentVolumeClaim berth-hosted in namespace one/)
    assert.deepEqual(await objectsIn('one'), ['persistentvolumeclaim/berth-hosted'])
    const rest = await succeed('simple', 'uninstall', '-n', 'one', '--delete-images', '-o', 'json')
    assert.deepEqual(JSON.parse(rest.stdout).removed, [
      'PersistentVolumeClaim berth-hosted in namespace one',
    ])
  })

  test('serves HTTPS by an authority of its own, which stays when the command is repeated', async (t) => {
    removeAtEnd(t, 'two')
    const words = ['simple', 'install', '-n', 'two', '--anonymous', '-o', 'json'] as const
    const { stderr } = await succeed(...words, '--authentication', 'self-signed', '--empty-dir')
    assert.match(stderr, /warning: everyone who reaches the registry may pull, push and delete/)
    assert.match(stderr, /warning: pushed images are lost with the pod/)
    const pem = async (name: string, key: string) =>
      Buffer.from((await get(`secret/${name}`, 'two')).data[key], 'base64').toString()
    const authority = new X509Certificate(await pem('berth-ca', 'tls.crt'))
    const certificate = new X509Certificate(await pem('berth-tls', 'tls.crt'))
    assert.ok(certificate.verify(authority.publicKey) && certificate.checkIssued(authority))
    for (const name of ['localhost', 'berth.two.svc']) assert.ok(certificate.checkHost(name))
    assert.ok(certificate.checkIP('127.0.0.1'))

    const again = await succeed('simple', 'install', '-n', 'two', '-o', 'json')
    assert.deepEqual(JSON.parse(again.stdout).kept, ['Secret berth-tls in namespace two'])
    const { volumes } = (await get('deployment/berth', 'two')).spec.template.spec
    assert.ok(
      volumes.some((one: object) => 'emptyDir' in one && 'name' in one && one.name === 'hosted'),
    )
    await succeed('simple', 'install', '-n', 'two', '--no-authentication')
    const { data } = await get('configmap/berth', 'two')
    assert.doesNotMatch(data['berth.yaml'], /tls/)
  })

  test('leaves the certificate to cert-manager, with its own authority or a given one', async (t) => {
    removeAtEnd(t, 'three')
    const words = ['simple', 'install', '-n', 'three', '--anonymous'] as const
    await succeed(...words, '--authentication')
    assert.equal((await objectsIn('three')).filter((name) => /cert-manager/.test(name)).length, 4)
    await succeed(...words, '--cluster-issuer', 'ours')
    const { spec } = await get('certificate/berth', 'three')
    assert.equal(spec.issuerRef.kind, 'ClusterIssuer')
    assert.equal(spec.issuerRef.name, 'ours')
    await succeed('simple', 'uninstall', '-n', 'three', '--delete-images')
    // A claim ends when no pod has it, which a controller finds out.
    assert.deepEqual(await objectsIn('three'), ['persistentvolumeclaim/berth-hosted'])
    const claim = await get('persistentvolumeclaim/berth-hosted', 'three')
    assert.ok(claim.metadata.deletionTimestamp)
  })

  test('prints the objects instead, which a cluster accepts, and needs no cluster for that', async () => {
    const none = { environment: { HOME: directory } }
    const words = ['simple', 'install', '-n', 'default', '--authorization', '--dry-run', '-o']
    const yaml = await runCommand([...words, 'yaml'], none)
    assert.equal(yaml.status, 0, yaml.stderr)
    assert.match(yaml.stderr, /^login, shown only now: user berth, password \S+\n$/)
    const server = ['apply', '--dry-run=server', '--validate=strict', '-f', '-']
    const applied = await api.kubectl(server, yaml.stdout)
    assert.match(applied, /deployment.apps\/berth created \(server dry run\)/)
    const json = await runCommand([...words, 'json'], none)
    assert.equal(JSON.parse(json.stdout).items.length, applied.trim().split('\n').length)
  })

  test('who may not do everything is told all that is missing, and nothing is changed', async (t) => {
    await api.kubectl(['create', 'namespace', 'four'])
    t.after(() => api.kubectl(['delete', 'namespace', 'four', '--wait=false']))
    const namespaced =
      'deployments.apps,networkpolicies.networking.k8s.io,poddisruptionbudgets.policy,services,configmaps,serviceaccounts,persistentvolumeclaims'
    const rights = ['--verb=get,create,patch', `--resource=${namespaced}`]
    await api.kubectl(['create', 'role', 'dev', '-n', 'four', ...rights])
    await api.kubectl(['create', 'rolebinding', 'dev', '-n', 'four', '--role=dev', '--user=dev'])
    const file = join(directory, 'dev.conf')
    const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'))
    config.users[0].user.as = 'dev'
    await writeFile(file, JSON.stringify(config))
    const words = ['simple', 'install', '-n', 'four', '--anonymous', '--kubeconfig', file]
    const { status, stderr } = await berth(...words)
    assert.equal(status, 1)
    assert.match(
      stderr,
      /cannot apply ClusterRole four-berth-in-use: .* 403 .*"dev" cannot patch resource "clusterroles"/,
    )
    assert.match(stderr, /cannot apply ClusterRoleBinding four-berth-in-use: /)
    assert.match(stderr, /\nnothing was changed\n$/)
    assert.deepEqual(await objectsIn('four'), [])
  })

  test('an installation of Helm is left to Helm', async (t) => {
    const environment = { KUBECONFIG: api.kubeconfig }
    const release = ['berth', '--namespace', 'five', '--create-namespace']
    const installed = await helm(['install', ...release, chart], threeValues, 'helm3', environment)
    assert.equal(installed.status, 0, installed.output)
    t.after(() =>
      helm(['uninstall', 'berth', '--namespace', 'five'], undefined, 'helm3', environment),
    )
    const { status, stderr } = await berth('simple', 'install', '-n', 'five', '--anonymous')
    assert.equal(status, 1)
    assert.match(stderr, /managed by Helm: change it with helm upgrade/)
    const { stdout } = await succeed('simple', 'uninstall', '-n', 'five')
    assert.match(stdout, /not installed in namespace five by this command/)
    assert.match(stdout, /kept: Deployment berth in namespace five, which something else manages/)
  })

  test('waits until the pod is ready, and says at once that its image cannot be pulled', async (t) => {
    removeAtEnd(t, 'six')
    await succeed('simple', 'install', '-n', 'six', '--anonymous')
    await api.kubectl(['create', 'serviceaccount', 'default', '-n', 'six'])
    const labels =
      'app.kubernetes.io/name=berth,app.kubernetes.io/instance=berth,app.kubernetes.io/component=registry'
    await api.kubectl(['run', 'pod', '-n', 'six', '--image=berth', '--labels', labels])
    const setStatus = (what: string, status: object) => {
      const patch = ['--type=merge', '-p', JSON.stringify({ status })]
      return api.kubectl(['patch', what, '-n', 'six', '--subresource=status', ...patch])
    }
    const waiting = { reason: 'ImagePullBackOff', message: 'no such image' }
    const container = { name: 'pod', image: '', imageID: '', ready: false, restartCount: 0 }
    await setStatus('pod/pod', { containerStatuses: [{ ...container, state: { waiting } }] })
    await setStatus('deployment/berth', { observedGeneration: 1 })

    const words = ['simple', 'install', '-n', 'six', '--wait'] as const
    const late = await berth(...words, '--timeout', '2s')
    assert.equal(late.status, 1)
    const state = 'pod pod: container pod: ImagePullBackOff: no such image'
    assert.match(late.stderr, new RegExp(`^waiting: ${state}$`, 'm'))
    assert.match(
      late.stderr,
      new RegExp(`Deployment berth in namespace six is not ready after 2 s: ${state}`),
    )

    const environment = { HOME: directory, KUBECONFIG: api.kubeconfig }
    const start = () => startCommand(words, { environment })
    const interrupted = start()
    await until('it waits', () => assert.match(interrupted.stderr(), /waiting: pod pod/))
    interrupted.signal('SIGINT')
    assert.equal((await interrupted.finished).status, 130)

    const patient = start()
    await until('it waits', () => assert.match(patient.stderr(), /waiting: pod pod/))
    const { generation } = (await get('deployment/berth', 'six')).metadata
    const one = { replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 }
    await setStatus('deployment/berth', { observedGeneration: generation, ...one })
    const { status, stdout, stderr } = await patient.finished
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^Berth runs in namespace six, as localhost:30026 of each node$/m)
  })

  test('refuses choices that contradict each other, or are missing', async () => {
    const refused = async (pattern: RegExp, ...words: readonly string[]) => {
      const { status, stderr } = await berth('simple', 'install', '-n', 'seven', ...words)
      assert.equal(status, 1)
      assert.match(stderr, pattern)
    }
    await refused(/say who may use the registry/)
    await refused(/exclude each other/, '--anonymous', '--authorization')
    await refused(/served by Berth itself/, '--anonymous', '--image', 'localhost:30026/local/berth')
    await refused(/expected a quantity/, '--anonymous', '--size', '5GB')
    await refused(/expected lines that berth htpasswd/, '--authorization', api.kubeconfig)
    await refused(
      /cannot reach 127\.0\.0\.1:1 of context/,
      '--anonymous',
      '--kubeconfig',
      await nowhere(),
    )
  })
  const nowhere = async () => {
    const file = join(directory, 'nowhere.conf')
    const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'))
    config.clusters[0].cluster.server = 'https://127.0.0.1:1'
    await writeFile(file, JSON.stringify(config))
    return file
  }
})
