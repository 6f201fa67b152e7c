import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createRunId, isRunId, parseRunId, timeOfRun } from '../../../src/store/hosted/run-id.ts'

const times = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) })

test('a run has the time at which it was created, in whole seconds', () => {
  fc.assert(
    fc.property(times, (time) => {
      const run = createRunId(time)
      assert.equal(timeOfRun(run), time - (time % 1000))
      assert.equal(parseRunId(run), run)
    }),
  )
})

test('runs sort by their time', () => {
  fc.assert(
    fc.property(times, times, (one, other) => {
      if (Math.floor(one / 1000) < Math.floor(other / 1000))
        assert.ok(createRunId(one) < createRunId(other))
    }),
  )
})

test('nothing else is a run', () => {
  fc.assert(fc.property(fc.string(), (text) => assert.equal(isRunId(text), false)))
  const run = parseRunId('20261129T013000Z-ab12cd34')
  for (const text of [`${run}\n`, `${run}/..`, run.toUpperCase(), run.slice(1), `../${run}`])
    assert.throws(() => parseRunId(text), { code: 'UNSUPPORTED' })
})
