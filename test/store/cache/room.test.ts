import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRoom } from '../../../src/store/cache/room.ts'
import { watchedTelemetry } from '../../support/telemetry.ts'

test('a blob larger than the whole cache is no reason to say that there is no room', () => {
  const { telemetry, logs } = watchedTelemetry()
  const room = createRoom({
    ...{ directory: '/cache', limit: 1000, minimumFree: 10, pinned: () => 0 },
    log: telemetry.log,
  })
  room.refused({ bytes: 2000, shortage: 500, evictable: 100 })
  assert.equal(room.problem(), undefined)
  assert.deepEqual(logs(), [])
  room.refused({ bytes: 900, shortage: 500, evictable: 100 })
  assert.match(room.problem() ?? '', /the file system of \/cache lacks 400 B/)
})
