import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { berthImage } from '../support/berth-image.ts'
import { createAuthority } from '../support/certificates.ts'
import type { Cluster } from '../support/cluster.ts'
import { type ClusterScene, setClusterScene } from '../support/cluster-scene.ts'
import { type ClusterUser, createUsers, killOperators } from '../support/cluster-user.ts'
import { main } from '../support/command.ts'
import { execRules } from '../support/connect-scene.ts'
import { createDeveloper, type Rule } from '../support/developer.ts'
import { useDirectory } from '../support/directory.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { type OpenshiftRegistry, startOpenshiftRegistry } from '../support/openshift-registry.ts'
import { applyOutsideService } from '../support/outside-service.ts'
import { readRegistries } from '../support/registry-resources.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const image = `${berthImage.repository}:${berthImage.tag}`
const newerImage = `${berthImage.repository}:newer`
const operator = 'berth-operator'
const size = 4 * 1024 * 1024
const wrong = 'wrong-canary-51c3'

/** The Registry of the manual. */
const manual = await readFile(new URL('../../src/operator/README.md', import.meta.url), 'utf8')
const [, yaml = ''] = /^```yaml\n([\s\S]*?)^```/m.exec(manual) ?? []
const team = parse(yaml)

describe('Registries in a cluster, with the operator and its surrogates', () => {
  let scene: ClusterScene<Cluster>
  let openshift: OpenshiftRegistry
  let password: string
  let registries: ReturnType<typeof readRegistries>
  let userOf: (kubeconfig: string) => ClusterUser
  let berth: ClusterUser
  /** Address of the registry of team-a. */
  let target: string
  const closing: (() => Promise<void>)[] = []

  before(async () => {
    scene = await setClusterScene('iptables', { dns: true })
    const { cluster } = scene
    closing.push(scene.close)
    registries = readRegistries(cluster)
    userOf = await createUsers(directory)
    berth = userOf(cluster.kubeconfig)

    const authority = await createAuthority('team')
    closing.push(authority.remove)
    const { namespace, service: name, port } = team.spec.indirect
    const tls = await authority.issue([`DNS:${name}.${namespace}.svc`])
    const registry = await startDockerRegistry({ address: cluster.machine, tls })
    closing.push(registry.close)
    password = registry.login.password
    target = registry.url.replace('https://', '')
    await applyOutsideService(cluster, { name, namespace, port, target })
    openshift = await startOpenshiftRegistry(cluster)
    closing.push(openshift.close)

    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    const at = { namespace: team.metadata.namespace }
    const stringData = { 'ca.crt': await readFile(authority.file, 'utf8') }
    await cluster.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: at.namespace, labels } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'registry-ca', ...at }, stringData },
    )
    await logIn(wrong)
    await scene.explained(async () => {
      const flags = ['--cluster', '-n', operator, '--replicas', '2', '--image', image, '--wait']
      await berth('operator', 'install', ...flags)
    })
  })
  after(async () => {
    for (const close of closing.toReversed()) await close()
  })

  const developer = async (
    t: TestContext,
    rules: readonly Rule[] = execRules,
    name = 'developer',
  ) => {
    const { namespace } = team.metadata
    const made = await createDeveloper(scene.cluster, { name, namespace, rules, directory })
    t.after(made.proxy.close)
    return userOf(made.kubeconfig)
  }
  const logIn = (secret: string) =>
    scene.cluster.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'registry-login', namespace: team.metadata.namespace },
      type: 'kubernetes.io/basic-auth',
      stringData: { username: 'upstream-user', password: secret },
    })
  const change = (name: string, namespace: string, spec: object) =>
    scene.cluster.kubectl([
      ...['patch', 'registry', name, '-n', namespace, '--type=merge'],
      ...['-p', JSON.stringify({ spec })],
    ])

  /** Pushes bytes, and gets the same back. */
  const goAround = async (as: ClusterUser, repository: string, ...where: readonly string[]) => {
    const file = join(directory, 'data.bin')
    const content = randomBytes(size)
    await writeFile(file, content)
    await as('push', '--file', '--quiet', file, `${repository}:1`, ...where)
    await as('pull', '--unpack', `${repository}:1`, `${file}.back`, ...where)
    assert.ok(content.equals(await readFile(`${file}.back`)))
  }

  test('a wrong password is a condition with its reason', (t) =>
    scene.explained(async () => {
      await scene.cluster.apply(team)
      const { name, namespace } = team.metadata
      const denied = await until('the login is denied', async () => {
        const of = await registries.conditions(name, namespace)
        assert.equal(of('Authenticated')?.reason, 'LoginDenied', of('Ready')?.message)
        assert.equal(of('Reachable')?.status, 'True')
        assert.deepEqual([of('Ready')?.status, of('Ready')?.reason], ['False', 'LoginDenied'])
        return of('Authenticated')?.message ?? ''
      })
      assert.match(denied, /upstream-user was denied access.*401/)
      assert.ok((await berth('registry', 'describe', name, '-n', namespace)).includes(denied))
      const as = await developer(t)
      const listed = as('list', '--registry', name, '-n', namespace)
      await assert.rejects(listed, /upstream-user was denied access/)
      await logIn(password)
    }))

  test('Berth itself, with HTTPS of its own authority and a login', () =>
    scene.explained(async () => {
      const install = ['simple', 'install', '-n', 'registry-own', '--empty-dir', '--image', image]
      const flags = ['--authorization', '--authentication', 'self-signed', '--wait']
      const [, word = ''] =
        /user berth, password (\S+)/.exec(await berth(...install, ...flags)) ?? []
      const file = join(directory, 'password')
      await writeFile(file, word)
      const words = ['create', 'own', '-n', 'registry-own', '--provider', 'simple', '--wait']
      const login = ['-u', 'berth', '--password-file', file, '--ca-secret', 'berth-tls']
      await berth('registry', ...words, ...login)
      const where = ['--registry', 'own', '-n', 'registry-own']
      await goAround(berth, 'data', ...where)
      assert.match(await berth('list', '--all', ...where), /^local\/data +1$/m)
      const hostOf = async () =>
        (await registries.read('registry', 'own', '-n', 'registry-own')).status.host
      assert.equal(await hostOf(), 'localhost:30026')
      const patch = [{ op: 'replace', path: '/spec/ports/0/nodePort', value: 31_026 }]
      await scene.cluster.kubectl([
        ...['patch', 'service', 'berth', '-n', 'registry-own', '--type=json'],
        ...['-p', JSON.stringify(patch)],
      ])
      await until('its host is the new NodePort', async () =>
        assert.equal(await hostOf(), 'localhost:31026'),
      )
    }))

  test("OpenShift's registry, by the token of the builder of each namespace", () =>
    scene.explained(async () => {
      await openshift.createProject('project')
      const words = ['create', 'internal', '-n', 'project', '--provider', 'openshift', '--wait']
      await berth('registry', ...words)
      const where = ['--registry', 'internal', '-n', 'project']
      await goAround(berth, 'data', ...where)
      assert.equal(await berth('list', 'data', ...where), '1\n')
      const pushed = /^system:serviceaccount:project:builder PUT \/v2\/project\/data\/manifests\/1$/
      assert.ok(openshift.requests.some((line) => pushed.test(line)))
      // Its repositories have two parts, whatever Berth thinks.
      const other = berth('push', '--file', main, 'other/data:1', ...where)
      await assert.rejects(
        other,
        /cannot push to project\/other\/data as system:serviceaccount:project:builder/,
      )
    }))

  test('once the password is right, a user with pods and exec in one namespace pushes, pulls, lists and deletes', (t) =>
    scene.explained(async () => {
      // Kubelet and surrogate have had the time of two tests to notice.
      await registries.untilReady('team', 'team-a')
      const as = await developer(t)
      const where = ['--registry', 'team', '-n', 'team-a']
      await goAround(as, 'apps/data', ...where)
      assert.match(await as('list', '--all', ...where), /^apps\/data +1$/m)
      await as('delete', '--digest', 'apps/data:1', ...where)
      await assert.rejects(as('pull', 'apps/data:1', join(directory, 'gone.tar'), ...where))
    }))

  test('its way from a denied login to ready is in Events, in its status and in the answer of the doctor', () =>
    scene.explained(async () => {
      const where = ['--registry', 'team', '-n', 'team-a']
      const described = await berth('registry', 'describe', 'team', '-n', 'team-a')
      assert.match(described, /^ +Warning +LoginDenied +Registry team +upstream-user was denied/m)
      assert.match(described, /^ +Normal +Ready +Registry team /m)
      const status = await berth('status', ...where)
      assert.match(status, /^team-surrogate-\S+ +team-a +node[12] +yes .* spooler$/m)
      assert.match(status, /^spool +no files wait; 0 failed$/m)
      assert.match(status, /^team +team-a +\S+:5000 +True +True +True +True +True$/m)
      const doctor = await berth('doctor', ...where)
      assert.match(doctor, / ok +authenticated +.*\n.*No problem found/s)
    }))

  test('a registry by its address, with a certificate of another name', () =>
    scene.explained(async () => {
      const { namespace, service: name } = team.spec.indirect
      const { tls, credentials } = team.spec
      await scene.cluster.apply({
        ...team,
        metadata: { name: 'straight', namespace: 'team-a' },
        spec: {
          direct: { host: target },
          tls: { ...tls, serverName: `${name}.${namespace}.svc` },
          credentials,
        },
      })
      await registries.untilReady('straight', 'team-a')
      assert.equal(
        (await registries.read('registry', 'straight', '-n', 'team-a')).status.host,
        target,
      )
      await goAround(berth, 'apps/direct', '--registry', 'straight', '-n', 'team-a')
      await berth('registry', 'delete', 'straight', '-n', 'team-a')
    }))

  test('of two operators one works, and the other one takes over when its pod is killed', () =>
    scene.explained(async () => {
      const holder = async (): Promise<string> =>
        (await registries.read('lease', 'berth-operator', '-n', operator)).spec.holderIdentity
      const pods = ['get', 'pods', '-n', operator, '-o', 'name']
      const all = (await scene.cluster.kubectl(pods)).trim().split('\n')
      const first = await holder()
      assert.equal(all.length, 2)
      assert.ok(all.includes(`pod/${first}`))
      const reports = async (pod: string) =>
        (await scene.cluster.kubectl(['logs', '-n', operator, pod])).includes('status changed')
      const [other = ''] = all.filter((name) => name !== `pod/${first}`)
      assert.deepEqual([await reports(first), await reports(other)], [true, false])
      const now = ['--force', '--grace-period=0']
      await scene.cluster.kubectl(['delete', 'pod', '-n', operator, first, ...now])
      await until('another one has the Lease', async () => {
        const next = await holder()
        assert.ok(next !== '' && next !== first, next)
      })
      await change('team', 'team-a', { redirects: ['minio.example.com'] })
      await until('the surrogate has the new spec', async () => {
        const [container] = (await registries.podSpecOf('team', 'team-a')).containers
        assert.ok(container.args.includes('--redirect=minio.example.com'))
      })
      await registries.untilReady('team', 'team-a')
    }))

  test('a right that is missing is named', (t) =>
    scene.explained(async () => {
      const where = ['--registry', 'team', '-n', 'team-a']
      const pods = { resources: ['pods'], verbs: ['get', 'list'] }
      const missing: readonly (readonly [string, readonly Rule[], RegExp])[] = [
        ['nothing', [], /cannot list resource "pods"/],
        ['reader', [pods], /"pods\/exec"/],
      ]
      for (const [name, rules, message] of missing) {
        const as = await developer(t, rules, name)
        await assert.rejects(as('list', ...where), message)
      }
    }))

  test('what changes while the operator is killed, deleted and upgraded is made so', () =>
    scene.explained(async () => {
      assert.ok((await killOperators(scene.cluster)) > 0, 'no operator runs')
      await change('team', 'team-a', { spool: { enabled: false } })
      await until('the surrogate has no spool', async () =>
        assert.deepEqual((await registries.podSpecOf('team', 'team-a')).initContainers ?? [], []),
      )
      const pods = ['delete', 'pod', '-n', operator, '-l', 'app.kubernetes.io/component=operator']
      await scene.cluster.kubectl([...pods, '--force', '--grace-period=0'])
      await change('own', 'registry-own', { host: 'own.example.com' })
      await scene.cluster.kubectl([
        ...['delete', 'deployment', 'internal-surrogate', '-n', 'project', '--wait=false'],
      ])
      for (const node of scene.cluster.nodes)
        await node.run(['/usr/bin/ctr', '-n', 'k8s.io', 'images', 'tag', image, newerImage])
      const flags = ['--cluster', '-n', operator, '--replicas', '2', '--image', newerImage]
      await berth('operator', 'install', ...flags, '--wait')
      for (const [name, namespace] of all) {
        await until(`${name} has the new image`, async () => {
          const [container] = (await registries.podSpecOf(name, namespace)).containers
          assert.equal(container.image, newerImage)
        })
        await registries.untilReady(name, namespace)
      }
      assert.equal(
        (await registries.read('registry', 'own', '-n', 'registry-own')).status.host,
        'own.example.com',
      )
    }))

  const all = [
    ['team', 'team-a'],
    ['own', 'registry-own'],
    ['internal', 'project'],
  ] as const

  test('without the operator, Registries and surrogates stay and work; one that is deleted goes', () =>
    scene.explained(async () => {
      await assert.rejects(
        berth('operator', 'uninstall', '-n', operator, '--delete-definition'),
        /there are Registries/,
      )
      await berth('operator', 'uninstall', '-n', operator)
      assert.equal(await scene.cluster.kubectl(['get', 'deploy', '-n', operator, '-o', 'name']), '')
      await scene.cluster.kubectl(['get', 'crd', 'registries.berth.dev'])
      for (const [name, namespace] of all) {
        await goAround(berth, 'later', '--registry', name, '-n', namespace)
        await berth('registry', 'delete', name, '-n', namespace)
      }
      const surrogates = ['pods', '-A', '-l', 'app.kubernetes.io/component=surrogate']
      await until('the surrogates are gone', async () =>
        assert.deepEqual((await registries.read(...surrogates)).items, []),
      )
    }))
})
