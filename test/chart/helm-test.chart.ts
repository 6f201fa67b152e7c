import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type Berth, removeBerth, startBerth } from '../support/berth.ts'
import { chart, find, render, threeValues } from '../support/chart.ts'
import { ownDirectory } from '../support/directory.ts'
import { htpasswdLine } from '../support/docker-registry.ts'
import { attempt } from '../support/programs.ts'
import { noRegistry, startScriptedUpstream } from '../support/scripted-upstream.ts'

const login = { user: 'kubelet', password: 'secret' }

suite('what `helm test` runs', () => {
  let berth: Berth
  let script: readonly string[]

  before(async () => {
    const manifests = await render(threeValues)
    const [container] = find(manifests, 'Pod', 'berth-test').spec.containers
    const [program, ...words] = [...container.command, ...container.args]
    assert.equal(program, 'node')
    script = [process.execPath, ...words]
    berth = await startBerth({ config: {} })
  })
  after(() => removeBerth(berth))

  const runWith = (registry: string, readyz: string) =>
    attempt(script, { environment: { REGISTRY: `${registry}/v2/`, READYZ: `${readyz}/readyz` } })

  test('is the file of the chart, as it is', async () => {
    const text = await readFile(join(chart, 'files/test.mjs'), 'utf8')
    assert.equal(script.at(-1)?.trim(), text.trim())
  })

  test('passes for a Berth', async () => {
    const { status, output } = await runWith(berth.url, berth.admin)
    assert.equal(status, 0, output)
    assert.match(output, /\/v2\/: 200/)
    assert.match(output, /\/readyz: 200/)
  })

  test('says why nodes are not tested, where the chart knows it', async () => {
    const note = { NOTE: 'nodes are not tested, as …: set tests.doctor.enabled=false' }
    const environment = { REGISTRY: `${berth.url}/v2/`, READYZ: `${berth.admin}/readyz`, ...note }
    const { status, output } = await attempt(script, { environment })
    assert.equal(status, 0, output)
    assert.match(output, /^note: nodes are not tested, as …: set tests\.doctor\.enabled=false$/m)
  })

  test('passes for one that wants a login', async (t) => {
    const htpasswd = join(await ownDirectory(t), 'htpasswd')
    await writeFile(htpasswd, await htpasswdLine(login))
    const closed = await startBerth({ config: { auth: { htpasswd } } })
    t.after(() => removeBerth(closed))
    const { status, output } = await runWith(closed.url, closed.admin)
    assert.equal(status, 0, output)
    assert.match(output, /\/v2\/: 401/)
  })

  test('fails for who is no registry, for who is not ready, and for nobody', async (t) => {
    const other = await startScriptedUpstream()
    t.after(() => other.close())
    other.on('/v2/', ({ reply }) => reply(200, noRegistry))
    const stranger = await runWith(other.url, berth.admin)
    assert.equal(stranger.status, 1)
    assert.match(stranger.output, /no registry answers at/)
    other.on('/readyz', ({ reply }) => reply(503))
    assert.match((await runWith(berth.url, other.url)).output, /readyz answered 503/)
    assert.equal((await runWith('http://127.0.0.1:1', berth.admin)).status, 1)
  })
})
