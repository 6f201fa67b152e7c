import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { createFailures, type Failures } from '../../src/remote/failures.ts'
import { UpstreamFailure } from '../../src/remote/faults.ts'
import { type Clock, useClock } from '../support/clock.ts'

const failure = new UpstreamFailure('failing', 'https://up answered 500', {})
let clock: Clock
let failures: Failures

beforeEach((t) => {
  clock = useClock(t)
  failures = createFailures()
})

const isHeldBack = (question: string): boolean => {
  try {
    failures.check(question)
    return false
  } catch (error) {
    assert.ok(error instanceof UpstreamFailure && error.fault === 'failing')
    assert.match(error.message, /answered 500 \(not retrying for \d+ s after \d failures\)/)
    return true
  }
}

test('the back-off of a request that keeps failing grows, and affects no other request (C205)', () => {
  const pauses: number[] = []
  for (let times = 0; times < 7; times += 1) {
    failures.failed('GET a', 'blob', failure)
    let pause = 0
    for (; isHeldBack('GET a'); clock.advance(1000)) pause += 1
    pauses.push(pause)
    assert.equal(isHeldBack('GET b'), false)
  }
  assert.deepEqual(pauses, [0, 2, 4, 8, 16, 16, 16])
})

test('concurrent failures count once, and an answer resets the back-off (C205)', () => {
  for (let times = 0; times < 8; times += 1) failures.failed('GET a', 'blob', failure)
  clock.advance(2000)
  assert.equal(isHeldBack('GET a'), false)
  failures.failed('GET a', 'blob', failure)
  assert.equal(isHeldBack('GET a'), true)
  failures.answered('GET a', 'blob')
  assert.equal(isHeldBack('GET a'), false)
})

test('an upstream is reported as failing only if all requests of a kind fail', () => {
  for (const question of ['a', 'b', 'c', 'd']) failures.failed(question, 'blob', failure)
  assert.equal(failures.problem(), undefined)
  failures.failed('e', 'blob', failure)
  assert.match(
    failures.problem() ?? '',
    /5 requests in a row failed: https:\/\/up answered 500.*retries by itself/,
  )
  failures.answered('v1', 'manifest')
  assert.match(failures.problem() ?? '', /5 requests in a row failed/)
  failures.answered('f', 'blob')
  assert.equal(failures.problem(), undefined)
})
