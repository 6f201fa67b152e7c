import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { startBuildkit } from '../support/buildkit.ts'
import { main } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { run } from '../support/programs.ts'

const directory = await useDirectory()
const at = (name: string) => join(directory, name)
const actions = ['pull', 'push']
const config = {
  upstreams: [],
  auth: { access: [{ users: ['*'], repositories: ['**'], actions }] },
}

let berth: BerthProcess
let docker: DockerRegistry

const berthCommand = (...words: readonly string[]) =>
  run([process.execPath, main, ...words], { environment: { HOME: directory } })
const skopeo = (...words: readonly string[]) => run(['skopeo', '--insecure-policy', ...words])

type Manifest = {
  readonly layers: readonly { readonly digest: string; readonly mediaType: string }[]
}

/** The layers, in order. */
async function layersOf(image: string, ...flags: readonly string[]): Promise<Manifest['layers']> {
  const { layers } = JSON.parse(await skopeo('inspect', '--raw', ...flags, image)) as Manifest
  return layers.map(({ digest, mediaType }) => ({ digest, mediaType }))
}

suite('an archive of BuildKit arrives unchanged in a registry', { timeout: 300_000 }, () => {
  let buildkit: Awaited<ReturnType<typeof startBuildkit>>

  before(async () => {
    berth = await startBerthProcess(config)
    docker = await startDockerRegistry()
    await mkdir(at('context'))
    await writeFile(at('context/data'), randomBytes(300_000))
    await writeFile(at('context/text'), 'text\n'.repeat(100_000))
    await writeFile(at('context/Dockerfile'), 'FROM scratch\nCOPY data /data\nCOPY text /text\n')
    await mkdir(at('buildkit'))
    buildkit = await startBuildkit(at('buildkit'))
  })
  after(async () => {
    await buildkit.kill()
    await docker.close()
    await berth.close()
  })

  for (const compression of ['gzip', 'zstd', 'estargz', 'uncompressed'])
    test(`an OCI archive with layers in ${compression}`, async () => {
      const file = at(`${compression}.tar`)
      const output = `type=oci,dest=${file},name=app:1,compression=${compression}`
      await buildkit.build(
        at('context'),
        '--output',
        `${output},force-compression=true,oci-mediatypes=true`,
      )
      const layers = await layersOf(`oci-archive:${file}`)
      const { user, password } = docker.login
      await writeFile(at('password'), password)
      const login = ['-u', user, '--password-file', at('password')]
      const other = `${new URL(docker.url).host}/team/app:${compression}`
      const own = `${berth.host}/local/app:${compression}`
      await berthCommand('image', 'push', '-q', file, own)
      await berthCommand('image', 'push', '-q', ...login, file, other)
      const creds = ['--tls-verify=false', '--creds', `${user}:${password}`]
      assert.deepEqual(await layersOf(`docker://${own}`, '--tls-verify=false'), layers)
      assert.deepEqual(await layersOf(`docker://${other}`, ...creds), layers)
      // All bytes, which skopeo verifies.
      const copy = ['copy', '-q', '--src-tls-verify=false', `docker://${own}`]
      await skopeo(...copy, `oci:${at(`copy-${compression}`)}:1`)
    })

  test('a docker archive', async () => {
    const file = at('docker.tar')
    await buildkit.build(at('context'), '--output', `type=docker,dest=${file},name=app:1`)
    const own = `${berth.host}/local/app:docker`
    await berthCommand('image', 'push', '-q', file, own)
    const flags = ['--config', '--tls-verify=false']
    const pushed = JSON.parse(await skopeo('inspect', ...flags, `docker://${own}`))
    const saved = JSON.parse(await skopeo('inspect', '--config', `docker-archive:${file}`))
    assert.deepEqual(pushed.rootfs, saved.rootfs)
  })
})
