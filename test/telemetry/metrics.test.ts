import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../src/telemetry/metrics.ts'

/** Name and type of every metric in the exposition format. */
async function exposed(): Promise<readonly (readonly [name: string, type: string])[]> {
  const text = await createMetrics().text()
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [
    name,
    type,
  ])
}

test('every metric has a known prefix and its unit in the name', async () => {
  const found = await exposed()
  assert.ok(found.length > 30)
  for (const [name, type] of found) {
    assert.match(name, /^(berth|registry_proxy|process|nodejs)_[a-z0-9_]+$/)
    assert.ok(type === 'counter' || !name.endsWith('_total'), name)
    if (!/^(berth|registry_proxy)_/.test(name)) continue
    assert.ok(type !== 'counter' || name.endsWith('_total'), name)
    if (type === 'histogram') assert.match(name, /_seconds$/)
  }
})

test("Distribution's metric names exist, for its dashboards", async () => {
  const names = (await exposed()).map(([name]) => name)
  for (const what of ['requests', 'hits', 'misses', 'pulled_bytes', 'pushed_bytes'])
    assert.ok(names.includes(`registry_proxy_${what}_total`), what)
})

test('an undeclared label is an error', () => {
  const metrics = createMetrics()
  const labels = { route: '/v2/', method: 'GET', code: 200, path: '/v2/random' }
  assert.throws(() => metrics.httpRequests.inc(labels), /"path"/)
})

test('tallies are in the counter whenever it is read', async () => {
  const { auth, text } = createMetrics()
  const [one, other] = [1, 2].map(() => auth.tally((outcome) => ({ outcome })))
  one?.('user')
  other?.('user', 4)
  assert.match(await text('berth_auth_total'), /^berth_auth_total\{outcome="user"\} 5$/m)
  one?.('user')
  auth.inc({ outcome: 'user' })
  assert.deepEqual(
    (await auth.get()).values.map(({ value }) => value),
    [7],
  )
})

test('listeners run before each scrape', async () => {
  const metrics = createMetrics()
  let blobs = 0
  metrics.onScrape(() => metrics.cacheBlobs.set(++blobs))
  await metrics.text()
  assert.match(await metrics.text(), /^berth_cache_blobs 2$/m)
})

test('two sets of metrics are independent', async () => {
  const [one, other] = [createMetrics(), createMetrics()]
  one.cacheEvictions.inc(5)
  assert.match(await one.text(), /^berth_cache_evictions_total 5$/m)
  assert.match(await other.text(), /^berth_cache_evictions_total 0$/m)
})
