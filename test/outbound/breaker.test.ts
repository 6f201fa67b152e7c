import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { isRegistryError } from '../../src/oci/errors.ts'
import { type Breaker, createBreaker } from '../../src/outbound/breaker.ts'
import { type Clock, useClock } from '../support/clock.ts'

let clock: Clock
let changes: boolean[]
let breaker: Breaker

beforeEach((t) => {
  clock = useClock(t)
  changes = []
  breaker = createBreaker({ origin: 'https://up', onChange: (open) => void changes.push(open) })
})

function fail(times: number): void {
  for (let at = 0; at < times; at += 1) breaker.failed('connection refused')
}

/** Seconds after which to come again; undefined when let through. */
function turnedAway(): number | undefined {
  try {
    breaker.enter()
    return undefined
  } catch (error) {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    assert.equal(error.status, 503)
    return error.retryAfter
  }
}

test('the breaker opens after five failures in a row, and reports the reason and the time (U25)', () => {
  fail(4)
  assert.equal(turnedAway(), undefined)
  fail(1)
  assert.equal(turnedAway(), 2)
  assert.throws(
    () => breaker.check(),
    /not contacting https:\/\/up for 2 s after 5 failed connections: connection refused/,
  )
  assert.deepEqual(changes, [true])
})

test('a success resets the count', () => {
  fail(4)
  breaker.succeeded()
  fail(4)
  assert.equal(turnedAway(), undefined)
})

test('after the pause one probe is admitted, and other requests are rejected until it ends', () => {
  fail(5)
  clock.advance(1999)
  assert.ok(turnedAway() !== undefined)
  clock.advance(1)
  assert.equal(turnedAway(), undefined)
  assert.equal(turnedAway(), 1)
  breaker.succeeded()
  assert.equal(turnedAway(), undefined)
  assert.deepEqual(changes, [true, false])
})

test('each probe that fails doubles the pause, to ten seconds (U56)', () => {
  fail(5)
  const pauses: number[] = []
  for (let probes = 0; probes < 7; probes += 1) {
    let pause = 0
    while (turnedAway() !== undefined) {
      clock.advance(1000)
      pause += 1
    }
    pauses.push(pause)
    fail(1)
  }
  assert.deepEqual(pauses, [2, 4, 8, 10, 10, 10, 10])
})

test('a probe without an answer is followed by another', () => {
  fail(5)
  clock.advance(2000)
  assert.equal(turnedAway(), undefined)
  clock.advance(19_999)
  assert.ok(turnedAway() !== undefined)
  clock.advance(1)
  assert.equal(turnedAway(), undefined)
})

test('a probe without a result is followed by another at once', () => {
  fail(5)
  clock.advance(2000)
  assert.equal(turnedAway(), undefined)
  breaker.abandoned()
  assert.equal(turnedAway(), undefined)
  assert.ok(turnedAway() !== undefined, 'one at a time')
})

test('failures of requests in flight when the breaker opened do not lengthen the pause', () => {
  fail(5)
  fail(20)
  clock.advance(2000)
  assert.equal(turnedAway(), undefined)
})
