import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { createAuthority } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { type Entries, makeRoot, picture } from '../support/node-root.ts'
import { attempt, run, startIsolated } from '../support/programs.ts'
import { login, mirrored, repository, setScene } from '../support/scene.ts'
import { dockerRegistryUpstream } from '../support/upstreams.ts'

/** Whatever runs after this finds these directories of the root as the machine's own. */
function asOn(root: string, names: readonly string[]): readonly string[] {
  const mounts = names.map((name) => `mount --bind ${root}/etc/${name} /etc/${name}`)
  return ['sh', '-c', `${mounts.join(' && ')} && exec "$@"`, 'sh']
}

type Place = { readonly listen: string; readonly address: string; readonly entries?: Entries }

const onLoopback: Place = { listen: 'localhost:0', address: '127.0.0.1' }

async function berthOverTls(t: TestContext, { listen, address, entries }: Place) {
  const authority = await createAuthority('trust')
  t.after(() => authority.remove())
  const root = await makeRoot(t, {
    'etc/hosts': `127.0.0.1 localhost\n${address} ${mirrored}\n`,
    'etc/containers/policy.json': '{"default":[{"type":"insecureAcceptAnything"}]}',
    'etc/docker': null,
    'usr/bin/podman': '',
    ...entries,
  })
  const tls = { certificate: join(root, 'tls.crt'), key: join(root, 'tls.key') }
  const pair = await authority.issue([`DNS:${mirrored}`])
  await writeFile(tls.certificate, pair.certificate)
  await writeFile(tls.key, pair.key)
  const scene = await setScene(await dockerRegistryUpstream(), { tls, listen })
  t.after(scene.close)
  const registry = scene.berth.host.replace('localhost', mirrored)
  return { root, registry, authority, scene }
}

suite('berth trust for podman, CRI-O, skopeo and buildah', () => {
  /** They share how registries are found and believed. */
  const skopeo = async (root: string, image: string, host: string) => {
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    const file = join(root, 'auth.json')
    // By the address that is asked: a pull's own credentials are for the host that the image names.
    await writeFile(file, JSON.stringify({ auths: { [host]: { auth } } }))
    const done = await attempt([
      ...['unshare', '--mount', ...asOn(root, ['hosts', 'containers', 'docker'])],
      ...['skopeo', 'inspect', '--raw', '--authfile', file, `docker://${image}`],
    ])
    await rm(file)
    return done
  }

  test('plain HTTP, by our name and as a mirror of another', async (t) => {
    const scene = await setScene(await dockerRegistryUpstream())
    t.after(scene.close)
    const root = await makeRoot(t, {
      'etc/hosts': '127.0.0.1 localhost\n',
      'etc/containers/policy.json': '{"default":[{"type":"insecureAcceptAnything"}]}',
      'etc/docker': null,
      'usr/bin/podman': '',
    })
    const before = await picture(root)
    const ours = `localhost:30026/${repository}:image`
    assert.notEqual((await skopeo(root, ours, scene.berth.host)).status, 0)
    const server = ['--server', `http://${scene.berth.host}`, '--mirror', mirrored]
    const done = await runCommand(['trust', '--root', root, '--once', ...server])
    assert.equal(done.status, 0, done.stdout)
    for (const image of [ours, `${mirrored}/${repository}:image`]) {
      const { status, output } = await skopeo(root, image, scene.berth.host)
      assert.equal(status, 0, output)
    }
    assert.equal((await runCommand(['trust', '--root', root, '--remove'])).status, 0)
    assert.deepEqual(await picture(root), before)
  })

  test('TLS with our authority', async (t) => {
    const { root, registry, authority } = await berthOverTls(t, onLoopback)
    const image = `${registry}/${repository}:image`
    assert.match(
      (await skopeo(root, image, registry)).output,
      /certificate signed by unknown authority/,
    )
    const args = ['--root', root, '--registry', registry, '--ca', authority.file, '--once']
    assert.equal((await runCommand(['trust', ...args])).status, 0)
    const { status, output } = await skopeo(root, image, registry)
    assert.equal(status, 0, output)
  })
})

/** Docker believes whoever has an address of 127.0.0.0/8; of IPv6's, Debian's version knows nothing. */
const beyondLoopback: Place = {
  listen: '[::1]:0',
  address: '::1',
  entries: { 'usr/bin/dockerd': '' },
}

test('berth trust for docker: TLS with our authority, without a restart', async (t) => {
  const { root, registry, authority } = await berthOverTls(t, beyondLoopback)
  const directory = join(root, 'daemon')
  await mkdir(directory)
  const address = `unix://${directory}/docker.sock`
  const daemon = startIsolated(
    [...asOn(root, ['hosts', 'docker']), ...dockerd(directory, address)],
    { directory },
  )
  t.after(async () => {
    await daemon.kill()
    await attempt(['rm', '-rf', '--one-file-system', directory])
  })
  await daemon.wrote(/API listen on/)
  const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
  await writeFile(
    join(directory, 'config.json'),
    JSON.stringify({ auths: { [registry]: { auth } } }),
  )
  const pull = [
    ...['/usr/bin/docker', '--config', directory, '--host', address],
    ...['pull', `${registry}/${repository}:image`],
  ]
  await assert.rejects(run(pull), /certificate signed by unknown authority/)
  const args = ['--root', root, '--registry', registry, '--ca', authority.file, '--once']
  assert.equal((await runCommand(['trust', ...args])).status, 0)
  await run(pull)
})

function dockerd(directory: string, address: string): readonly string[] {
  return [
    'dockerd',
    ...['--data-root', join(directory, 'data')],
    ...['--exec-root', join(directory, 'exec')],
    ...['--pidfile', join(directory, 'docker.pid')],
    ...['--host', address],
    ...['--oom-score-adjust', '0'],
    '--iptables=false',
    '--ip6tables=false',
    '--bridge=none',
  ]
}
