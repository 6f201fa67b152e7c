import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEvents } from '../../src/operator/events.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const metadata = { name: 'team', namespace: 'apps', generation: 1, resourceVersion: '7' }
const statusOf = (status: 'True' | 'False', reason: string) => ({
  conditions: [
    { type: 'Ready', status, reason, message: reason, lastTransitionTime: '2026-01-01T00:00:00Z' },
  ],
})

/** What is written of Registries whose status is always the first one here. */
function scene(answer = { status: 201, text: '' }) {
  const written: string[] = []
  let now = 0
  const { telemetry, logs } = watchedTelemetry()
  const client = {
    post: async (path: string, object: object) => {
      const { type, reason } = object as Readonly<Record<string, string>>
      written.push(`${path} ${type} ${reason}`)
      return answer
    },
  }
  const events = createEvents({ client, log: telemetry.log, uptime: () => now })
  const tell = (status: 'True' | 'False', reason: string, uid = 'u1') =>
    events.onStatus(
      { metadata: { ...metadata, uid }, spec: {}, status: statusOf('False', 'Starting') },
      statusOf(status, reason),
    )
  const pass = (milliseconds: number) => {
    now += milliseconds
  }
  return { written, logs, tell, pass }
}

test('an Event is written when Ready changes, and once, whatever the cache of the watch says', async () => {
  const { written, tell } = scene()
  await tell('False', 'Starting')
  await tell('True', 'Ready')
  await tell('True', 'Ready')
  await tell('False', 'LoginDenied')
  await tell('False', 'LoginDenied', 'u2')
  const path = '/api/v1/namespaces/apps/events'
  assert.deepEqual(written, [
    `${path} Normal Ready`,
    `${path} Warning LoginDenied`,
    `${path} Warning LoginDenied`,
  ])
})

test('a Registry that changes all the time has ten Events, and then one in five minutes', async () => {
  const { written, tell, pass } = scene()
  const flap = async (times: number) => {
    for (let at = 0; at < times; at += 1) {
      await tell('True', 'Ready')
      await tell('False', 'Unreachable')
    }
  }
  await flap(100)
  assert.equal(written.length, 10)
  pass(5 * 60_000)
  await flap(100)
  assert.equal(written.length, 11)
})

test('a right that is missing stops nothing, and is logged', async () => {
  const { tell, logs } = scene({ status: 403, text: 'events is forbidden' })
  await tell('True', 'Ready')
  assert.ok(logs().some(({ msg }) => msg === 'cannot write an Event'))
})
