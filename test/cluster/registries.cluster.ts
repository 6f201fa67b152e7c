import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { berthImage } from '../support/berth-image.ts'
import { createAuthority } from '../support/certificates.ts'
import type { Cluster } from '../support/cluster.ts'
import { type ClusterScene, setClusterScene } from '../support/cluster-scene.ts'
import { main } from '../support/command.ts'
import { execRules } from '../support/connect-scene.ts'
import { createDeveloper, type Rule } from '../support/developer.ts'
import { useDirectory } from '../support/directory.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { type OpenshiftRegistry, startOpenshiftRegistry } from '../support/openshift-registry.ts'
import { applyOutsideService } from '../support/outside-service.ts'
import { attempt, tool } from '../support/programs.ts'
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
  let berth: (...words: readonly string[]) => Promise<string>
  const closing: (() => Promise<void>)[] = []

  before(async () => {
    scene = await setClusterScene('iptables', { dns: true })
    const { cluster } = scene
    closing.push(scene.close)
    await mkdir(join(directory, 'bin'))
    await symlink(main, join(directory, 'bin/kubectl-berth'))
    berth = userOf(cluster.kubeconfig)

    const authority = await createAuthority('team')
    closing.push(authority.remove)
    const { namespace, service: name, port } = team.spec.indirect
    const tls = await authority.issue([`DNS:${name}.${namespace}.svc`])
    const registry = await startDockerRegistry({ address: cluster.machine, tls })
    closing.push(registry.close)
    password = registry.login.password
    const target = registry.url.replace('https://', '')
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
      await berth('operator', 'install', '--cluster', '-n', operator, '--image', image, '--wait')
    })
  })
  after(async () => {
    for (const close of closing.toReversed()) await close()
  })

  const userOf = (kubeconfig: string) => {
    const programs = [join(directory, 'bin'), dirname(tool('kubectl')), dirname(process.execPath)]
    const environment = {
      PATH: [...programs, '/usr/bin:/bin'].join(':'),
      HOME: directory,
      KUBECONFIG: kubeconfig,
    }
    return async (...words: readonly string[]) => {
      const options = { environment, directory, patience: 200 }
      const { status, stdout, output } = await attempt(['kubectl', 'berth', ...words], options)
      if (status !== 0) throw new Error(`${words.join(' ')} ended with ${status}: ${output}`)
      return stdout
    }
  }
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
  const read = async (...words: readonly string[]) =>
    JSON.parse(await scene.cluster.kubectl(['get', ...words, '-o', 'json']))

  type Condition = { type: string; status: string; reason: string; message: string }
  const conditions = async (name: string, namespace: string) => {
    const { metadata, status = {} } = await read('registry', name, '-n', namespace)
    assert.equal(status.observedGeneration, metadata.generation)
    const all = (status.conditions ?? []) as readonly Condition[]
    return (type: string) => all.find((one) => one.type === type)
  }
  const untilReady = (name: string, namespace: string) =>
    until(`${namespace}/${name} is ready`, async () => {
      const of = await conditions(name, namespace)
      assert.deepEqual(of('Ready')?.reason, 'Ready', of('Ready')?.message)
    })

  /** Pushes bytes, and gets the same back. */
  const goAround = async (as: typeof berth, repository: string, ...where: readonly string[]) => {
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
        const of = await conditions(name, namespace)
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
      await untilReady('team', 'team-a')
      const as = await developer(t)
      const where = ['--registry', 'team', '-n', 'team-a']
      await goAround(as, 'apps/data', ...where)
      assert.match(await as('list', '--all', ...where), /^apps\/data +1$/m)
      await as('delete', '--digest', 'apps/data:1', ...where)
      await assert.rejects(as('pull', 'apps/data:1', join(directory, 'gone.tar'), ...where))
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

  /** By a signal that it cannot handle, as the kernel does when memory is short. */
  const killOperator = async () => {
    let killed = 0
    for (const node of scene.cluster.nodes) {
      // The bracket: grep does not find itself.
      const found = await node.attempt([
        'bash',
        '-c',
        "grep -lzx 'operato[r]' /proc/[0-9]*/cmdline",
      ])
      for (const [, pid = ''] of found.stdout.matchAll(/^\/proc\/(\d+)/gm)) {
        await node.run(['kill', '-KILL', pid])
        killed += 1
      }
    }
    assert.ok(killed > 0, 'no operator runs')
  }
  const change = (name: string, namespace: string, spec: object) =>
    scene.cluster.kubectl([
      ...['patch', 'registry', name, '-n', namespace, '--type=merge'],
      ...['-p', JSON.stringify({ spec })],
    ])
  const podSpecOf = async (name: string, namespace: string) =>
    (await read('deployment', `${name}-surrogate`, '-n', namespace)).spec.template.spec

  test('what changes while the operator is killed, deleted and upgraded is made so', () =>
    scene.explained(async () => {
      await killOperator()
      await change('team', 'team-a', { spool: { enabled: false } })
      await until('the surrogate has no spool', async () =>
        assert.deepEqual((await podSpecOf('team', 'team-a')).initContainers ?? [], []),
      )
      const pods = ['delete', 'pod', '-n', operator, '-l', 'app.kubernetes.io/component=operator']
      await scene.cluster.kubectl([...pods, '--force', '--grace-period=0'])
      await change('own', 'registry-own', { host: 'own.example.com' })
      await scene.cluster.kubectl([
        ...['delete', 'deployment', 'internal-surrogate', '-n', 'project', '--wait=false'],
      ])
      for (const node of scene.cluster.nodes)
        await node.run(['/usr/bin/ctr', '-n', 'k8s.io', 'images', 'tag', image, newerImage])
      const flags = ['--cluster', '-n', operator, '--image', newerImage, '--wait']
      await berth('operator', 'install', ...flags)
      for (const [name, namespace] of all) {
        await until(`${name} has the new image`, async () => {
          const [container] = (await podSpecOf(name, namespace)).containers
          assert.equal(container.image, newerImage)
        })
        await untilReady(name, namespace)
      }
      assert.equal(
        (await read('registry', 'own', '-n', 'registry-own')).status.host,
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
        assert.deepEqual((await read(...surrogates)).items, []),
      )
    }))
})
