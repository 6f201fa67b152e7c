import assert from 'node:assert/strict'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { berthImage, buildahIn, buildBerthImage, imageCommand } from '../support/berth-image.ts'
import { startContainerd } from '../support/containerd.ts'
import { ownDirectory } from '../support/directory.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { startDockerd } from '../support/dockerd.ts'
import { attempt, run, tool } from '../support/programs.ts'

const name = `${berthImage.repository}:${berthImage.tag}`
const main = new URL('../../charts/image/', import.meta.url).pathname

suite('npm run image', () => {
  test('the image says what it is, and nothing in it is left empty', async () => {
    const archive = await buildBerthImage()
    const { Labels: labels } = JSON.parse(
      await run(['skopeo', 'inspect', `docker-archive:${archive}`]),
    )
    const prefix = 'org.opencontainers.image'
    assert.equal(labels[`${prefix}.version`], '0.1.0')
    assert.equal(labels[`${prefix}.licenses`], 'Apache-2.0')
    assert.match(labels[`${prefix}.source`], /^https:/)
    for (const [label, value] of Object.entries(labels)) assert.notEqual(value, '', label)
  })

  for (const [runtime, program, version, ctr] of [
    ["Debian's containerd 1.6", '/usr/bin/containerd', 2, '/usr/bin/ctr'],
    ['containerd 2', tool('containerd'), 3, tool('ctr')],
  ] as const)
    test(`brings an archive to ${runtime}, for kubelets, and pins it`, async (t) => {
      const archive = await buildBerthImage()
      const directory = await ownDirectory(t)
      const daemon = await startContainerd({ program, directory, version })
      t.after(daemon.close)
      const load = ['--from', archive, '--name', name, '--load', 'containerd']
      await run([...imageCommand, ...load, '--socket', daemon.socket])
      const images = [ctr, '-a', daemon.socket, '-n', 'k8s.io', 'images', 'ls']
      assert.match(
        await run(images),
        /^berth\.test\/berth:test .*io\.cri-containerd\.pinned=pinned/m,
      )
    })

  test('brings an archive to podman', async (t) => {
    const environment = await buildahIn(await ownDirectory(t))
    const load = ['--from', await buildBerthImage(), '--name', name, '--load', 'podman']
    await run([...imageCommand, ...load], { environment })
    await run(['podman', 'image', 'exists', name], { environment })
  })

  test('says what it lacks', async (t) => {
    const withoutTools = ['/usr/bin/env', `PATH=${await ownDirectory(t)}`]
    const nothing = await attempt([...withoutTools, ...imageCommand])
    assert.equal(nothing.status, 1)
    assert.match(nothing.output, /^npm run image: found no working docker .*, podman or buildah/)
    const elsewhere = await attempt([...imageCommand, '--from', '/x', '--load', 'minikube'])
    assert.match(elsewhere.output, /^npm run image: --load minikube is not supported: use docker, /)
  })
})

suite('an image that somebody builds', { concurrency: false }, () => {
  for (const builder of ['docker', 'podman', 'buildah'] as const)
    test(`is pushed, written to a file, and loaded, by ${builder}`, async (t) => {
      const registry = await startDockerRegistry()
      t.after(registry.close)
      const { host } = new URL(registry.url)
      const { user, password } = registry.login
      const auth = Buffer.from(`${user}:${password}`).toString('base64')
      const { environment, context, directory } = await smallImage(t, { [host]: { auth } })
      const script = `
        import { archive, build, push } from '${main}builders.ts'
        import { load } from '${main}loaders.ts'
        const [, tool, name, context, target, file] = process.argv
        const labels = { a: 'b c' }
        await build({ tool, name, context, labels, buildArguments: { BASE: 'scratch' } })
        await push(tool, name, target)
        await archive(tool, name, file)
        if (tool !== 'buildah') await load(tool, { name, file }, { helperImage: '' })`
      const file = join(directory, 'image.tar')
      const target = `${host}/small:1`
      await run(
        [
          ...[process.execPath, '--input-type=module', '-e', script],
          ...[builder, 'localhost/small:1', context, target, file],
        ],
        { environment },
      )
      const inspect = ['skopeo', 'inspect', '--tls-verify=false']
      const pushed = JSON.parse(await run([...inspect, `docker://${target}`], { environment }))
      assert.equal(pushed.Labels.a, 'b c')
      const [written] = JSON.parse(await run(['tar', '-xOf', file, 'manifest.json']))
      assert.deepEqual(written.RepoTags, ['localhost/small:1'])
    })
})

/** What to build in a second, and where images are kept meanwhile. */
async function smallImage(t: TestContext, auths: Readonly<Record<string, object>>) {
  const directory = await ownDirectory(t)
  const context = join(directory, 'context')
  await mkdir(context)
  await copyFile('/bin/busybox', join(context, 'busybox'))
  await writeFile(join(context, 'Dockerfile'), 'ARG BASE\nFROM $BASE\nCOPY busybox /bin/sh\n')
  const registries = join(directory, 'registries.conf')
  const [host] = Object.keys(auths)
  await writeFile(registries, `[[registry]]\nlocation = "${host}"\ninsecure = true\n`)
  for (const name of ['auth.json', 'config.json'])
    await writeFile(join(directory, name), JSON.stringify({ auths }))
  const daemon = await ownDirectory(t)
  const { address, kill } = await startDockerd(daemon)
  t.after(kill)
  const environment = {
    DOCKER_HOST: address,
    DOCKER_CONFIG: directory,
    ...(await buildahIn(directory)),
    CONTAINERS_REGISTRIES_CONF: registries,
    REGISTRY_AUTH_FILE: join(directory, 'auth.json'),
  }
  return { directory, context, environment }
}
