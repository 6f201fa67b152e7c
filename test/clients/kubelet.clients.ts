import assert from 'node:assert/strict'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { runCommand } from '../support/command.ts'
import { type Containerd, startContainerd } from '../support/containerd.ts'
import { createCri } from '../support/cri.ts'
import { createNode, type ProviderResponse } from '../support/kubelet.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { attempt, tool } from '../support/programs.ts'
import { login, repository, setScene } from '../support/scene.ts'
import { artifactRegistryUpstream, dockerRegistryUpstream } from '../support/upstreams.ts'

const password = { type: 'static', username: 'kubelet', password: 'node-canary' }

describe('the credential provider of a kubelet, by its own types and codecs', () => {
  test('lets containerd pull from Artifact Registry as the node, without an imagePullSecret', async (t) => {
    const upstream = await artifactRegistryUpstream({ grant: 'impersonation' })
    t.after(upstream.close)
    const image = makeLayeredImage({ layers: [await makeLayer('one', 200 * 1024)] })
    upstream.put(repository, 'v1', image)
    const { host, url } = upstream.registry
    const node = await nodeOf(t, [upstream.config])

    const [response] = await node.ask({ image: `${host}/${repository}` })
    assert.equal(response?.cacheKeyType, 'Registry')
    assert.match(response?.cacheDuration ?? '', /^54m\d+s$/)
    const authority = String(upstream.config['certificateAuthorities'])
    const containerd = await containerdOf(t, host, `server = "${url}"\nca = "${authority}"\n`)
    const pull = createCri(containerd.socket).pullImage
    const user = loginOf(response, host)
    await assert.rejects(
      pull(`${host}/${repository}:v1`, { ...user, password: 'x' }),
      /401|unauth/i,
    )
    await pull(`${host}/${repository}:v1`, user)
    await containerd.check([image])
  })

  test('lets containerd pull from Berth, whose user the node is, by a file', async (t) => {
    const scene = await setScene(await dockerRegistryUpstream())
    t.after(scene.close)
    const { host } = scene.berth
    const passwordFile = join(await directoryOf(t), 'password')
    await writeFile(passwordFile, `${login.password}\n`)
    const credentials = { type: 'static', username: login.user, passwordFile }
    const node = await nodeOf(t, [{ url: `http://${host}`, credentials }])

    const [response] = await node.ask({ image: `${host}/${repository}` })
    assert.equal(response?.cacheDuration, undefined, "the kubelet's own default holds")
    const containerd = await containerdOf(t, host, `server = "http://${host}"\n`)
    const { pullImage } = createCri(containerd.socket)
    await pullImage(`${host}/${repository}:image`, loginOf(response, host))
    await containerd.check([scene.images.image])
  })

  test('is asked for what its configuration matches, and in the version that this says', async (t) => {
    const node = await nodeOf(t, [
      { url: 'http://localhost:30026', credentials: password },
      { prefix: 'docker.io', url: 'https://registry-1.docker.io', credentials: password },
      { prefix: 'quay.io', url: 'https://quay.io' },
    ])
    for (const version of ['v1', 'v1beta1', 'v1alpha1']) {
      await node.configure(
        node.configuration.replace('k8s.io/v1\n    match', `k8s.io/${version}\n    match`),
      )
      const { username, password } = await node
        .ask({ image: 'docker.io/library/busybox' })
        .then(([response]) => response?.auth?.['docker.io'] ?? assert.fail())
      assert.deepEqual({ username, password }, { username: 'kubelet', password: 'node-canary' })
    }
    assert.equal((await node.ask({ image: 'localhost:30026/team/app' })).length, 1)
    for (const image of ['quay.io/team/app', 'localhost:5000/team/app', 'localhost/team/app'])
      assert.deepEqual(await node.ask({ image }), [], image)
  })

  test('gets no more than what all of Artifact Registry is, where nothing is configured', async (t) => {
    const node = await nodeOf(t, [{ url: 'https://us-docker.pkg.dev', credentials: password }])
    const patterns = ['*-docker.pkg.dev', 'docker.*.rep.pkg.dev', 'gcr.io', '*.gcr.io']
    const embedded = node.configuration.replace(
      'us-docker.pkg.dev',
      patterns.map((pattern) => JSON.stringify(pattern)).join('\n      - '),
    )
    await node.configure(embedded.replace(/ {4}args:\n.*\n/, ''))
    const hosts = ['us-docker.pkg.dev', 'docker.us-east1.rep.pkg.dev', 'gcr.io', 'eu.gcr.io']
    for (const host of hosts) {
      const [response] = await node.ask({ image: `${host}/project/repository/app` })
      assert.deepEqual(response?.auth, undefined, 'a machine that Google does not know')
      assert.equal(response?.cacheDuration, '0s')
    }
  })

  test('is shown a service account token by the configuration that it prints for that', async (t) => {
    const upstreams = [{ url: 'https://one.example', credentials: password }]
    const node = await nodeOf(t, upstreams, ['--audience', 'https://audience.example'])
    await node.replaceProvider(`#!/bin/sh\ncat >&2\nexit 1\n`)
    const annotations = { 'iam.gke.io/gcp-service-account': 'a@b' }
    const asking = { image: 'one.example/app', token: 'a-token', annotations }
    const { output } = await node.attempt(asking)
    const [, request = ''] = /(\{.*\})/.exec(output) ?? []
    assert.deepEqual(JSON.parse(request), {
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderRequest',
      image: 'one.example/app',
      serviceAccountToken: 'a-token',
      serviceAccountAnnotations: annotations,
    })
  })

  test('hands on the token of the pod to Berth, by a program that needs no Node.js', async (t) => {
    const node = await nodeOf(t, [{ url: 'https://one.example', credentials: password }])
    const command = 'kubelet-credential-provider'
    const registry = ['--registry', 'localhost:30026']
    await node.configure((await runCommand([command, '--print-config', ...registry])).stdout)
    const script = (await runCommand([command, '--print-script'])).stdout
    await node.addProvider('berth-pod-token', script)
    const image = 'localhost:30026/team-a/app'
    const [response, ...others] = await node.ask({ image, token: 'eyJh.eyJz.c-_0' })
    assert.deepEqual(others, [])
    assert.equal(response?.cacheKeyType, 'Registry')
    const { username, password: shown } = response?.auth?.['localhost:30026'] ?? {}
    assert.deepEqual([username, shown], ['token', 'eyJh.eyJz.c-_0'])
    assert.equal((await node.attempt({ image })).status, 1)
    assert.deepEqual(await node.ask({ image: 'one.example/app', token: 'eyJh.eyJz.c' }), [])
  })

  test("tells the kubelet's log what to change for an image that it does not know", async (t) => {
    const node = await nodeOf(t, [{ url: 'https://one.example', credentials: password }])
    await node.configure(node.configuration.replace('- one.example', '- other.example'))
    const { status, output } = await node.attempt({ image: 'other.example/team/app' })
    assert.equal(status, 1)
    assert.match(output, /no upstream in .* serves other\.example\/team\/app: add one/)
  })

  /** What stands for the kubelet must be able to say no. */
  test('would be refused with a field or a version that the types do not have', async (t) => {
    const node = await nodeOf(t, [{ url: 'https://one.example', credentials: password }])
    const good = {
      kind: 'CredentialProviderResponse',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      cacheKeyType: 'Registry',
    }
    const answers: readonly (readonly [object, RegExp | undefined])[] = [
      [good, undefined],
      [{ ...good, cacheTime: '1s' }, /unknown field "cacheTime"/],
      [{ ...good, cacheDuration: 'soon' }, /invalid duration/],
      [{ ...good, apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }, /answered in/],
      [
        { ...good, kind: 'CredentialProviderRequest', image: 'x', cacheKeyType: undefined },
        /answered with/,
      ],
    ]
    for (const [answer, complaint] of answers) {
      await node.replaceProvider(`#!/bin/sh\necho '${JSON.stringify(answer)}'\n`)
      const { status, output } = await node.attempt({ image: 'one.example/app' })
      assert.equal(status, complaint === undefined ? 0 : 1)
      assert.match(output, complaint ?? /Registry/)
    }
    const strange = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig' }
    await node.configure(stringify({ ...strange, providers: [], more: 1 }))
    assert.match((await node.attempt({ image: 'x/y' })).output, /unknown field "more"/)
  })
})

async function nodeOf(t: TestContext, upstreams: readonly object[], args: readonly string[] = []) {
  const node = await createNode(upstreams, args)
  t.after(node.close)
  return node
}

/** With `hosts.toml` for one registry. */
async function containerdOf(t: TestContext, host: string, hosts: string): Promise<Containerd> {
  const directory = await directoryOf(t)
  const containerd = await startContainerd({ program: tool('containerd'), directory, version: 3 })
  t.after(containerd.close)
  await mkdir(join(containerd.certificates, host))
  await writeFile(join(containerd.certificates, host, 'hosts.toml'), hosts)
  return containerd
}

async function directoryOf(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-kubelet-'))
  t.after(() => attempt(['rm', '-rf', '--one-file-system', directory]))
  return directory
}

function loginOf(response: ProviderResponse | undefined, host: string) {
  const found = response?.auth?.[host]
  assert.ok(found)
  return { user: found.username, password: found.password }
}
