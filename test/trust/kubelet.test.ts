import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { eventually } from '../support/berth.ts'
import { runCommand } from '../support/command.ts'
import { addTo, containerdConfig, type Entries, makeRoot, picture } from '../support/node-root.ts'
import { startTrust } from '../support/trust.ts'

const entries = { '/etc/containerd/config.toml': containerdConfig.set, '/opt/berth': null }
const program = '/opt/berth/berth-pod-token'
const configuration = '/opt/berth/berth-credential-provider.yaml'
const flagsFile = '/var/lib/kubelet/kubeadm-flags.env'
const bin = '--image-credential-provider-bin-dir'
const config = '--image-credential-provider-config'

const trust = (root: string, ...args: readonly string[]) =>
  runCommand(['trust', '--root', root, '--credential-provider', '/opt/berth', ...args])

async function written(t: TestContext, more: Entries = {}) {
  const root = await makeRoot(t, { ...entries, ...more })
  const { status, stdout, stderr } = await trust(root, '--once', '--audience', 'ours')
  assert.equal(status, 0, stdout + stderr)
  return { root, stdout }
}

test('the program and the configuration of a credential provider are on the node', async (t) => {
  const { root, stdout } = await written(t)
  assert.match(stdout, /^kubelet: credential provider$/m)
  assert.match(
    stdout,
    new RegExp(`start the kubelet with ${bin}=/opt/berth ${config}=${configuration}`),
  )
  const { providers } = parse(await readFile(join(root, configuration), 'utf8'))
  assert.equal(providers[0].name, 'berth-pod-token')
  assert.deepEqual(providers[0].matchImages, ['localhost:30026'])
  assert.equal(providers[0].tokenAttributes.serviceAccountTokenAudience, 'ours')
  assert.equal((await stat(join(root, program))).mode & 0o777, 0o755)
  assert.equal((await stat(join(root, configuration))).mode & 0o777, 0o644)
  const answer = spawnSync(join(root, program), [], {
    input: JSON.stringify({
      kind: 'CredentialProviderRequest',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      image: 'localhost:30026/a',
      serviceAccountToken: 'eyJ.eyJ.c',
    }),
    encoding: 'utf8',
  })
  assert.equal(JSON.parse(answer.stdout).auth['localhost:30026'].password, 'eyJ.eyJ.c')
})

test('a second run changes nothing, an edited program is left alone, and removal leaves no trace', async (t) => {
  const { root } = await written(t)
  const before = await picture(root)
  await trust(root, '--once', '--audience', 'ours')
  assert.deepEqual(await picture(root), before)
  const text = await readFile(join(root, program), 'utf8')
  await addTo(root, { [program]: text.replace('set -eu', 'set -x') })
  const { stdout } = await trust(root, '--once', '--audience', 'ours')
  assert.match(stdout, /berth-pod-token: the file was edited/)
  await addTo(root, { [program]: text })
  assert.equal((await trust(root, '--remove')).status, 0)
  const names = Object.keys(await picture(root))
  assert.deepEqual(
    names.filter((name) => name.includes('berth-')),
    [],
  )
  assert.ok(names.includes('opt/berth'))
})

test('a running agent logs the flags once', async (t) => {
  const root = await makeRoot(t, entries)
  const args = ['--root', root, '--credential-provider', '/opt/berth', '--audience', 'ours']
  const agent = await startTrust(args)
  await agent.settled()
  const note = /"what":"kubelet","note":"start the kubelet with/
  await agent.command.wrote(note)
  // It checks the node every two seconds; a removed file shows that it has done so once more.
  await rm(join(root, program))
  await eventually('the program is back', () => existsSync(join(root, program)))
  await agent.stop()
  assert.equal(agent.command.stdout().split(note).length, 2)
})

test('nothing remains to be said if the kubelet has the flags', async (t) => {
  const flags = `KUBELET_KUBEADM_ARGS="${bin}=/opt/berth ${config}=${configuration}"\n`
  const { stdout } = await written(t, { [flagsFile]: flags })
  assert.doesNotMatch(stdout, /image-credential-provider/)
})

test('a kubelet with the provider of a cloud keeps it, and it is said what to add', async (t) => {
  const cloud = '/etc/eks/image-credential-provider'
  const flags = `KUBELET_EXTRA_ARGS='${bin} ${cloud} ${config} ${cloud}/config.json'\n`
  const { root, stdout } = await written(t, {
    '/etc/default/kubelet': flags,
    [`${cloud}/config.json`]: '{}',
  })
  assert.match(
    stdout,
    /has a credential provider already, in \/etc\/eks\/\S+ by \/etc\/eks\/\S+config\.json/,
  )
  assert.equal(await readFile(join(root, cloud, 'config.json'), 'utf8'), '{}')
})

test('a directory that does not exist is a problem of the kubelet alone', async (t) => {
  const root = await makeRoot(t, { '/etc/containerd/config.toml': containerdConfig.set })
  const { stdout, status } = await trust(root, '--once')
  assert.equal(status, 0)
  assert.match(stdout, /\/opt\/berth does not exist: create it/)
  assert.match(stdout, /containerd: can pull from Berth/)
  const relative = await runCommand(['trust', '--once', '--credential-provider', 'opt'])
  assert.match(relative.stderr, /--credential-provider opt is not an absolute path/)
})
