import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { suite, test } from 'node:test'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { connectRaw } from '../support/raw.ts'

const upstreams = [{ prefix: 'docker.io', url: 'http://127.0.0.1:9' }]
const hasIpv6 = Object.values(networkInterfaces()).some((all = []) =>
  all.some(({ family }) => family === 'IPv6'),
)

suite('the line of a request', () => {
  test('records a rejected `?ns=` with the reason', async (t) => {
    const berth = await startBerth({ config: { upstreams } })
    t.after(() => removeBerth(berth))
    const asked = `docker.io/library/busybox/manifests/latest?ns=quay.io`
    assert.equal((await get(`${berth.url}/v2/${asked}`)).status, 404)
    const lineOf = () => berth.logs().find(({ msg }) => msg === 'request')
    await eventually('it is logged', () => lineOf() !== undefined)
    const { namespace, repository, reason } = lineOf() ?? {}
    assert.equal(namespace, 'quay.io')
    assert.equal(repository, 'docker.io/library/busybox')
    assert.equal(reason, 'no upstream is configured for quay.io')
  })

  test('omits a `?ns=` that cannot be a host', async (t) => {
    const berth = await startBerth({ config: { upstreams } })
    t.after(() => removeBerth(berth))
    for (const bait of ['../../bait', `bait.${'x'.repeat(2000)}`, 'bait%0a{}']) {
      const asked = `docker.io/library/busybox/manifests/latest?ns=${bait}`
      assert.equal((await get(`${berth.url}/v2/${asked}`)).status, 404)
    }
    const lines = () => berth.logs().filter(({ msg }) => msg === 'request')
    await eventually('they are logged', () => lines().length === 3)
    assert.doesNotMatch(JSON.stringify(lines()), /bait/)
  })

  test('has what a client sends as it is, however it is quoted', async (t) => {
    const berth = await startBerth({ config: { upstreams } })
    t.after(() => removeBerth(berth))
    const agents = ['a "b" \\ {c}', '"},{"level":"fatal"', 'tab\tand é']
    for (const agent of agents) {
      const { ask, reply } = await connectRaw(berth.url)
      ask('GET /v2/ HTTP/1.1', 'Host: localhost', `User-Agent: ${agent}`)
      assert.equal((await reply()).status, 200)
    }
    const lines = () => berth.logs().filter(({ msg }) => msg === 'request')
    await eventually('they are logged', () => lines().length === agents.length)
    const logged = lines().map(({ level, agent }) => ({
      level,
      // Node reads headers as Latin-1.
      agent: Buffer.from(String(agent), 'latin1').toString(),
    }))
    assert.deepEqual(
      logged,
      agents.map((agent) => ({ level: 'info', agent })),
    )
  })

  test('records an IPv4 address in its own form on a dual-stack socket', {
    skip: !hasIpv6,
  }, async (t) => {
    const auth = { anonymous: 'pull' }
    const berth = await startBerth({ config: { upstreams, listen: '[::]:0', auth } })
    t.after(() => removeBerth(berth))
    await get(`${berth.url}/v2/`)
    const lineOf = () => berth.logs().find(({ msg }) => msg === 'request')
    await eventually('it is logged', () => lineOf() !== undefined)
    assert.equal(lineOf()?.['remote'], '127.0.0.1')
  })
})
