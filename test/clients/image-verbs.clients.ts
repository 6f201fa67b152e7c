import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { main } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { attempt, run, tool } from '../support/programs.ts'

const directory = await useDirectory()
const at = (name: string) => join(directory, name)
const actions = ['pull', 'push', 'delete']
const config = {
  upstreams: [],
  auth: { access: [{ users: ['*'], repositories: ['**'], actions }] },
}

let berth: BerthProcess
let old: DockerRegistry
let current: DockerRegistry
/** By name: where they are, and the login of one that wants it. */
let registries: Readonly<
  Record<string, { host: string; login: readonly string[]; oras: readonly string[] }>
>

const berthWords = (words: readonly string[]) => [process.execPath, main, ...words]
const berthCommand = (...words: readonly string[]) =>
  run(berthWords(words), { environment: { HOME: directory }, directory })

const orasCommand = (verb: string, ...words: readonly string[]) =>
  run([tool('oras'), verb, '--plain-http', ...words], {
    environment: { HOME: directory },
    directory,
  })

before(async () => {
  berth = await startBerthProcess(config)
  old = await startDockerRegistry()
  current = await startDockerRegistry({ program: tool('registry3') })
  await writeFile(at('password'), old.login.password)
  const login = ['-u', old.login.user, '--password-file', at('password')]
  const oras = ['-u', old.login.user, '-p', old.login.password]
  registries = {
    Berth: { host: berth.host, login: [], oras: [] },
    'Distribution 2.8': { host: new URL(old.url).host, login, oras },
    'Distribution 3': { host: new URL(current.url).host, login, oras },
  }
  await mkdir(at('sub'))
  await writeFile(at('a.txt'), 'one')
  await writeFile(at('sub/b.json'), '{}')
})
after(async () => {
  await current.close()
  await old.close()
  await berth.close()
})

suite('the image commands', { concurrency: false }, () => {
  for (const name of ['Berth', 'Distribution 2.8', 'Distribution 3'])
    test(`oras pulls what Berth pushed to ${name}, and the reverse`, async () => {
      const { host, login, oras } = registries[name] ?? assert.fail()
      const image = `${host}/local/files`
      const out = at(`out-${name.replaceAll(' ', '-')}`)
      const files = ['a.txt', 'sub/b.json:application/json']
      const type = ['--artifact', '--artifact-type', 'application/vnd.example.files']
      await berthCommand('image', 'push', '-q', ...type, ...login, ...files, `${image}:berth`)
      await orasCommand('pull', ...oras, `${image}:berth`, '-o', out)
      assert.equal(await readFile(join(out, 'sub/b.json'), 'utf8'), '{}')
      await orasCommand('push', ...oras, `${image}:oras`, ...files)
      await berthCommand('pull', '--unpack', ...login, `${image}:oras`, `${out}-back/`)
      assert.equal(await readFile(join(`${out}-back`, 'a.txt'), 'utf8'), 'one')
      assert.equal(await readFile(join(`${out}-back`, 'sub/b.json'), 'utf8'), '{}')
      assert.equal(await berthCommand('image', 'list', ...login, host), 'local/files\n')
      assert.equal(await berthCommand('image', 'list', ...login, image), 'berth\noras\n')
    })

  test('a tag goes alone where the registry can do that, and the others say what to do', async () => {
    for (const [name, { host, login }] of Object.entries(registries)) {
      const image = `${host}/local/tags`
      const push = ['image', 'push', '-q', '--file', 'a.txt', ...login]
      await berthCommand(...push, `${image}:1`, '2')
      const words = ['image', 'delete', ...login, `${image}:1`]
      const { status, output } = await attempt(berthWords(words), {
        environment: { HOME: directory },
      })
      const left = await berthCommand('image', 'list', ...login, image)
      if (name === 'Distribution 2.8') {
        assert.equal(status, 1)
        assert.match(output, /cannot delete a tag of local\/tags.*--digest.*other tags: 2/)
        assert.equal(left, '1\n2\n')
      } else assert.deepEqual([status, left], [0, '2\n'], name)
      await berthCommand('image', 'delete', '--digest', '--force', ...login, `${image}:2`)
      const gone = await attempt(berthWords(['image', 'inspect', ...login, `${image}:2`]), {
        environment: { HOME: directory },
      })
      assert.match(gone.output, /has no local\/tags:2/)
    }
  })

  test('skopeo reads a layout that is a directory, and crane and skopeo a docker archive', async () => {
    const image = `${berth.host}/local/layers`
    await run(['tar', '-cf', at('layer.tar'), '-C', directory, 'a.txt'])
    const append = ['append', '--insecure', '--oci-empty-base', '-f', at('layer.tar'), '-t']
    await run([tool('crane'), ...append, `${image}:1`])
    await berthCommand('pull', '--format', 'docker', `${image}:1`, 'docker.tar')
    await berthCommand('pull', `${image}:1`, 'layout/')
    const skopeo = (from: string) => run(['skopeo', 'inspect', '--config', from])
    const expected = await run([
      'skopeo',
      'inspect',
      '--config',
      '--tls-verify=false',
      `docker://${image}:1`,
    ])
    assert.deepEqual(
      JSON.parse(await skopeo(`docker-archive:${at('docker.tar')}`)).rootfs,
      JSON.parse(expected).rootfs,
    )
    assert.equal(await skopeo(`oci:${at('layout')}:1`), expected)
    await run([tool('crane'), 'push', '--insecure', at('docker.tar'), `${image}:crane`])
  })
})
