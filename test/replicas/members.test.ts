import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createMembers } from '../../src/replicas/members.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const unknown = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
const broken = Object.assign(new Error('no answer'), { code: 'EAI_AGAIN' })

test('names are looked up again; a name without an answer keeps its addresses, one that is gone for a minute', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let time = 0
  let answer: readonly string[] | Error = ['fd00::1', 'fd00::2', '10.0.0.2']
  const members = createMembers({
    self: { host: 'FD00:0::1', port: 30028 },
    endpoints: [{ host: 'berth-replicas', port: 30028 }],
    lookup: async () => {
      if (answer instanceof Error) throw answer
      return answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    },
    uptime: () => time,
    log: watchedTelemetry().telemetry.log,
  })
  t.after(members.close)
  const known = async (next = answer) => {
    answer = next
    t.mock.timers.tick(5000)
    await turn()
    return members.all()
  }
  assert.deepEqual(await known(), ['[fd00::1]:30028', '[fd00::2]:30028'])
  assert.deepEqual(await known(['10.0.0.3']), ['[fd00::1]:30028', '10.0.0.3:30028'])
  assert.deepEqual(await known(broken), ['[fd00::1]:30028', '10.0.0.3:30028'])
  assert.deepEqual(await known(unknown), ['[fd00::1]:30028', '10.0.0.3:30028'])
  time += 60_001
  assert.deepEqual(await known(unknown), ['[fd00::1]:30028'])
})

test('a replica that failed owns nothing for five seconds, and for ten when it fails again', async (t) => {
  let time = 0
  const members = createMembers({
    self: { host: '10.0.0.1', port: 30028 },
    endpoints: [{ host: 'berth-replicas', port: 30028 }],
    lookup: async () => [{ address: '10.0.0.2', family: 4 }],
    uptime: () => time,
    log: watchedTelemetry().telemetry.log,
  })
  t.after(members.close)
  await turn()
  assert.deepEqual(members.others('x'), ['10.0.0.2:30028'])
  const owners = () =>
    new Set(Array.from({ length: 50 }, (_, at) => members.before(`sha256:${at}`)[0]))
  assert.deepEqual(owners(), new Set([undefined, '10.0.0.2:30028']))
  members.failed('10.0.0.2:30028')
  assert.deepEqual(owners(), new Set([undefined]))
  time += 5001
  assert.deepEqual(owners(), new Set([undefined, '10.0.0.2:30028']))
  // Two requests that fail at the same time are one failure.
  members.failed('10.0.0.2:30028')
  members.failed('10.0.0.2:30028')
  time += 9999
  assert.deepEqual(owners(), new Set([undefined]))
  time += 2
  assert.deepEqual(owners(), new Set([undefined, '10.0.0.2:30028']))
})

test('a replica that was started again owns at once, and fails for the first time', async (t) => {
  let time = 0
  const members = createMembers({
    self: { host: '10.0.0.1', port: 30028 },
    endpoints: [{ host: 'berth-replicas', port: 30028 }],
    lookup: async () => [{ address: '10.0.0.2', family: 4 }],
    uptime: () => time,
    log: watchedTelemetry().telemetry.log,
  })
  t.after(members.close)
  await members.lookedUp
  const fail = () => members.failed('10.0.0.2:30028')
  fail()
  time += 5001
  fail()
  members.started('10.0.0.2:30028')
  assert.deepEqual(members.others('x'), ['10.0.0.2:30028'])
  fail()
  assert.deepEqual(members.others('x'), [])
  time += 5001
  assert.deepEqual(members.others('x'), ['10.0.0.2:30028'])
})
