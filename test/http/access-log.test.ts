import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { suite, test } from 'node:test'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'

const upstreams = [{ prefix: 'docker.io', url: 'http://127.0.0.1:9' }]
const hasIpv6 = Object.values(networkInterfaces()).some((all = []) =>
  all.some(({ family }) => family === 'IPv6'),
)

suite('the line of a request', () => {
  test('tells of a `?ns=` that is refused, with the reason', async (t) => {
    const berth = await startBerth({ config: { upstreams } })
    t.after(() => removeBerth(berth))
    const asked = `docker.io/library/busybox/manifests/latest?ns=quay.io${'x'.repeat(2000)}`
    assert.equal((await get(`${berth.url}/v2/${asked}`)).status, 404)
    const lineOf = () => berth.logs().find(({ msg }) => msg === 'request')
    await eventually('it is logged', () => lineOf() !== undefined)
    const { namespace, repository, reason } = lineOf() ?? {}
    assert.match(String(namespace), /^quay\.iox{253}$/)
    assert.equal(repository, 'docker.io/library/busybox')
    assert.match(String(reason), /^no upstream is configured for quay\.io/)
    assert.equal(String(reason).length, 1000)
  })

  test('has an IPv4 address as such, on a socket for both', { skip: !hasIpv6 }, async (t) => {
    const auth = { anonymous: 'pull' }
    const berth = await startBerth({ config: { upstreams, listen: '[::]:0', auth } })
    t.after(() => removeBerth(berth))
    await get(`${berth.url}/v2/`)
    const lineOf = () => berth.logs().find(({ msg }) => msg === 'request')
    await eventually('it is logged', () => lineOf() !== undefined)
    assert.equal(lineOf()?.['remote'], '127.0.0.1')
  })
})
