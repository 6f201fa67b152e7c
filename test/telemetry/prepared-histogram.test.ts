import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Histogram, Registry } from 'prom-client'
import { PreparedHistogram } from '../../src/telemetry/prepared-histogram.ts'

test('its text is that of a histogram of prom-client with the same values', async () => {
  const registries = { ours: new Registry(), theirs: new Registry() }
  const options = {
    name: 'time_seconds',
    help: 'Time.',
    labelNames: ['route', 'code'],
    buckets: [0.1, 1, 10],
  }
  const theirs = new Histogram({ ...options, registers: [registries.theirs] })
  const ours = new PreparedHistogram({ ...options, registers: [registries.ours] })
  assert.equal(await registries.ours.metrics(), await registries.theirs.metrics())
  for (const value of [0, 0.1, 0.05, 3, 50, 1, 1.0001])
    for (const labels of [
      { route: '/v2/<name>', code: '"200"\n' },
      { route: '/', code: '404' },
    ]) {
      ours.prepare(labels)(value)
      theirs.observe(labels, value)
    }
  const text = await registries.ours.metrics()
  assert.match(text, /^time_seconds_bucket\{le="\+Inf",route="\/",code="404"\} 7$/m)
  assert.equal(text, await registries.theirs.metrics())
})
