import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { ownDirectory } from '../support/directory.ts'
import { attempt, run, tool } from '../support/programs.ts'
import { type PushScene, pusher, setPushScene } from '../support/push-scene.ts'

let scene: PushScene
before(async () => {
  scene = await setPushScene()
})
after(() => scene?.close())

const headers = {
  authorization: `Basic ${Buffer.from(`${pusher.user}:${pusher.password}`).toString('base64')}`,
}

async function tagsOf(name: string): Promise<readonly string[]> {
  const response = await fetch(`http://${scene.berth.host}/v2/${name}/tags/list`, { headers })
  const { tags = [] } = (await response.json()) as { tags?: readonly string[] }
  return tags
}

const login = ['--username', pusher.user, '--password', pusher.password]

describe('oras', () => {
  const oras = (directory: string, ...words: readonly string[]) =>
    run([tool('oras'), ...words], { directory, environment: { HOME: directory } })

  test('pushes an artifact and attaches others, which are found, copied and deleted', async (t) => {
    const directory = await ownDirectory(t)
    const image = `${scene.berth.host}/local/oras/thing`
    const flags = ['--plain-http', ...login]
    const bytes = randomBytes(300_000)
    await writeFile(join(directory, 'data.bin'), bytes)
    await writeFile(join(directory, 'sbom.json'), '{"sbom":true}')
    const type = ['--artifact-type', 'application/vnd.example.thing']
    await oras(directory, 'push', ...flags, ...type, `${image}:v1`, 'data.bin')
    const sbom = ['--artifact-type', 'application/vnd.example.sbom']
    await oras(directory, 'attach', ...flags, ...sbom, `${image}:v1`, 'sbom.json')
    const note = ['--artifact-type', 'application/vnd.example.note']
    await oras(directory, 'attach', ...flags, ...note, '--annotation', 'a=b', `${image}:v1`)

    const discover = async (reference: string, ...more: readonly string[]) => {
      const words = ['discover', ...flags, '--format', 'json', ...more, reference]
      const { referrers } = JSON.parse(await oras(directory, ...words)) as {
        readonly referrers: readonly {
          readonly artifactType: string
          readonly reference: string
          readonly annotations: Readonly<Record<string, string>>
        }[]
      }
      return referrers
    }
    const types = async (reference: string, ...more: readonly string[]) =>
      (await discover(reference, ...more)).map(({ artifactType }) => artifactType).toSorted()
    assert.deepEqual(await types(`${image}:v1`), [note[1], sbom[1]])
    assert.deepEqual(await types(`${image}:v1`, ...sbom), [sbom[1]])
    const [found] = await discover(`${image}:v1`, ...note)
    assert.equal(found?.annotations['a'], 'b')
    assert.deepEqual(await tagsOf('local/oras/thing'), ['v1'], 'no fallback tag was needed')

    await mkdir(join(directory, 'pulled'))
    await oras(directory, 'pull', ...flags, '--output', 'pulled', `${image}:v1`)
    assert.deepEqual(await readFile(join(directory, 'pulled', 'data.bin')), bytes)

    const copy = `${scene.berth.host}/local/oras/copy`
    const ends = ['from', 'to'].flatMap((end) => [
      ...[`--${end}-plain-http`, `--${end}-username`, pusher.user],
      ...[`--${end}-password`, pusher.password],
    ])
    await oras(directory, 'cp', '--recursive', ...ends, `${image}:v1`, `${copy}:v1`)
    assert.deepEqual(await types(`${copy}:v1`), [note[1], sbom[1]])
    await oras(directory, 'tag', ...flags, `${copy}:v1`, 'v2', 'v3')
    assert.deepEqual(await tagsOf('local/oras/copy'), ['v1', 'v2', 'v3'])
    const mounted = await scene.berth.metric('berth_uploads_total', ['outcome="mounted"'])
    assert.ok(mounted > 0, 'blobs were mounted')

    await oras(directory, 'manifest', 'delete', ...flags, '--force', found?.reference ?? '')
    assert.deepEqual(await types(`${image}:v1`), [sbom[1]])
    assert.deepEqual(await types(`${copy}:v1`), [note[1], sbom[1]])
  })

  test('pushes, fetches and deletes a single blob', async (t) => {
    const directory = await ownDirectory(t)
    const place = `${scene.berth.host}/local/oras/blobs`
    const flags = ['--plain-http', ...login]
    const bytes = randomBytes(100_000)
    await writeFile(join(directory, 'blob'), bytes)
    const pushed = await oras(directory, 'blob', 'push', ...flags, '--descriptor', place, 'blob')
    const { digest } = JSON.parse(pushed) as { digest: string }
    const fetched = ['blob', 'fetch', ...flags, '--output', 'fetched', `${place}@${digest}`]
    await oras(directory, ...fetched)
    assert.deepEqual(await readFile(join(directory, 'fetched')), bytes)
    await oras(directory, 'blob', 'delete', ...flags, '--force', `${place}@${digest}`)
    await assert.rejects(oras(directory, ...fetched), /not found/)
  })
})

describe('regctl', () => {
  async function start(t: TestContext) {
    const directory = await ownDirectory(t)
    const environment = { HOME: directory, REGCTL_CONFIG: join(directory, 'regctl.json') }
    const regctl = (words: readonly string[], input = '') =>
      run([tool('regctl'), ...words], { directory, environment, input })
    const { host } = scene.berth
    await regctl(['registry', 'set', '--skip-check', '--tls', 'disabled', host])
    const secret = ['-u', pusher.user, '-p', pusher.password]
    await regctl(['registry', 'login', '--skip-check', ...secret, host])
    return { directory, regctl, place: `${host}/local/regctl/thing` }
  }

  test('puts artifacts with a subject, lists, copies and deletes them', async (t) => {
    const { regctl, place } = await start(t)
    const put = (words: readonly string[], input: string) =>
      regctl(['artifact', 'put', ...words], input)
    await put(['--artifact-type', 'application/vnd.example.thing', `${place}:v1`], 'the thing')
    for (const kind of ['sbom', 'note'])
      await put(
        ['--artifact-type', `application/vnd.example.${kind}`, '--subject', `${place}:v1`],
        kind,
      )
    const list = async (reference: string, ...more: readonly string[]) => {
      const format = ['--format', '{{range .Descriptors}}{{println .ArtifactType}}{{end}}']
      const listed = await regctl(['artifact', 'list', ...format, ...more, reference])
      return listed.split('\n').filter(Boolean).toSorted()
    }
    const both = ['application/vnd.example.note', 'application/vnd.example.sbom']
    assert.deepEqual(await list(`${place}:v1`), both)
    const filter = ['--filter-artifact-type', 'application/vnd.example.sbom']
    assert.deepEqual(await list(`${place}:v1`, ...filter), ['application/vnd.example.sbom'])
    assert.equal(await regctl(['artifact', 'get', `${place}:v1`]), 'the thing')
    assert.deepEqual(await tagsOf('local/regctl/thing'), ['v1'])

    const copy = place.replace('thing', 'copy')
    await regctl(['image', 'copy', '--referrers', `${place}:v1`, `${copy}:v1`])
    assert.deepEqual(await list(`${copy}:v1`), both)
    await regctl(['image', 'copy', `${place}:v1`, `${place}:v2`])
    await regctl(['tag', 'delete', `${place}:v1`])
    assert.equal((await regctl(['tag', 'list', place])).trim(), 'v2')
    assert.deepEqual(await list(`${place}:v2`), both, 'the manifest has another tag')
    const digest = (await regctl(['manifest', 'head', `${place}:v2`])).trim()
    await regctl(['manifest', 'delete', `${place}@${digest}`])
    assert.deepEqual(await tagsOf('local/regctl/thing'), [])
    await assert.rejects(regctl(['manifest', 'get', `${place}@${digest}`]), /not found/i)
    assert.match(await regctl(['repo', 'list', scene.berth.host]), /^local\/regctl\/copy$/m)
  })

  test('puts a blob in chunks', async (t) => {
    const { regctl, place, directory } = await start(t)
    const { host } = scene.berth
    const chunked = ['--blob-chunk', '65536', '--blob-max', '1']
    await regctl(['registry', 'set', '--skip-check', ...chunked, host])
    const text = randomBytes(150_000).toString('hex')
    await writeFile(join(directory, 'blob'), text)
    const patches = () => scene.berth.requests().filter(({ method }) => method === 'PATCH').length
    const before = patches()
    const digest = (await regctl(['blob', 'put', place], text)).trim()
    await eventually('its chunks are in the log', () => patches() - before >= 4)
    assert.equal(await regctl(['blob', 'get', place, digest]), text)
    await regctl(['blob', 'delete', place, digest])
    await assert.rejects(regctl(['blob', 'get', place, digest]), /not found/i)
  })
})

for (const name of ['helm3', 'helm4'])
  describe(name, () => {
    test('pushes a chart and pulls it', async (t) => {
      const directory = await ownDirectory(t)
      const helm = (...words: readonly string[]) =>
        run([tool(name), ...words], { directory, environment: { HOME: directory } })
      await helm('create', 'app')
      await helm('package', 'app', '--version', '1.2.3+build.4')
      const charts = `oci://${scene.berth.host}/local/${name}`
      const flags = ['--plain-http', ...login]
      const pushed = await attempt(
        [tool(name), 'push', ...flags, 'app-1.2.3+build.4.tgz', charts],
        { directory, environment: { HOME: directory } },
      )
      assert.equal(pushed.status, 0, `${pushed.output}\n${scene.berth.lastWords()}`)
      assert.deepEqual(await tagsOf(`local/${name}/app`), ['1.2.3_build.4'])
      const shown = await helm('show', 'chart', ...flags, `${charts}/app`)
      assert.match(shown, /^version: 1\.2\.3\+build\.4$/m)
      await mkdir(join(directory, 'pulled'))
      const to = ['--destination', 'pulled']
      await helm('pull', ...flags, ...to, `${charts}/app`, '--version', '1.2.3+build.4')
      assert.deepEqual(
        await readFile(join(directory, 'pulled', 'app-1.2.3+build.4.tgz')),
        await readFile(join(directory, 'app-1.2.3+build.4.tgz')),
      )
    })
  })
