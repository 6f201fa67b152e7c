import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDenials } from '../../src/object-stores/denials.ts'
import { ObjectStoreError } from '../../src/store/store.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

test('a bucket that denies some requests and accepts others is not probed each second for ever', async (t) => {
  const denied = new ObjectStoreError('denied', { message: 'no' })
  const ended = Promise.withResolvers<void>()
  let waited = 0
  let probes = 0
  const denials = createDenials({
    name: 's3://b',
    probe: async () => {
      probes += 1
      if (waited < 120_000) throw denied
      ended.resolve()
    },
    pause: async (duration, signal) => {
      if (!signal.aborted) waited += duration
      denials.succeeded('write')
    },
    telemetry: watchedTelemetry().telemetry,
  })
  denials.failed('write', denied)
  await ended.promise
  await denials.close()
  t.diagnostic(`${probes} probes in ${waited} ms`)
  assert.ok(probes > 5)
  assert.ok(probes < 20)
})
