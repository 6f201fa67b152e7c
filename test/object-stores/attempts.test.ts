import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CredentialError } from '../../src/credentials/credentials.ts'
import { createAttempts } from '../../src/object-stores/attempts.ts'
import { readS3Failure } from '../../src/object-stores/s3-failures.ts'
import { useForwardClock } from '../support/clock.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { until } from '../support/until.ts'

test('while an object store is down, keys that cannot be read do not look like its answer', async (t) => {
  const clock = useForwardClock(t)
  let hasKeys = true
  let unsigned = 0
  const request = async () => {
    if (hasKeys) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
    unsigned += 1
    throw new CredentialError('cannot get AWS keys')
  }
  const attempts = createAttempts({
    name: 's3://b',
    origin: 'http://s3',
    classify: readS3Failure,
    probes: { read: request, write: request },
    telemetry: watchedTelemetry().telemetry,
  })
  const read = () => attempts.run('read x', request)
  const isDown = () => assert.match(attempts.problem() ?? '', /^not contacting http:\/\/s3 /)
  await Promise.all([read(), read()].map((each) => assert.rejects(each)))
  isDown()
  hasKeys = false
  clock.advance(30_000)
  await until('it is asked', () => assert.ok(unsigned > 0))
  isDown()
  await attempts.close()
})
