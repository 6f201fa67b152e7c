import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { isRegistryError } from '../../src/oci/errors.ts'
import { type Breaker, createBreaker, parseRetryAfter } from '../../src/remote/breaker.ts'
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
    breaker.check()
    return undefined
  } catch (error) {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    assert.equal(error.status, 503)
    return error.retryAfter
  }
}

test('it opens after five failures in a row, and says why and for how long (U25)', () => {
  fail(4)
  assert.equal(turnedAway(), undefined)
  fail(1)
  assert.equal(turnedAway(), 2)
  assert.throws(() => breaker.check(), /https:\/\/up is left alone .*connection refused/)
  assert.deepEqual(changes, [true])
})

test('a success in between starts the count anew', () => {
  fail(4)
  breaker.succeeded()
  fail(4)
  assert.equal(turnedAway(), undefined)
})

test('after the pause one probe goes through, and the others wait for it', () => {
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

test('each probe that fails doubles the pause, to half a minute (U56)', () => {
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
  assert.deepEqual(pauses, [2, 4, 8, 16, 30, 30, 30])
})

test('a probe that never comes back is followed by another', () => {
  fail(5)
  clock.advance(2000)
  assert.equal(turnedAway(), undefined)
  clock.advance(19_999)
  assert.ok(turnedAway() !== undefined)
  clock.advance(1)
  assert.equal(turnedAway(), undefined)
})

test('a probe of which nothing was learned is followed by another at once', () => {
  fail(5)
  clock.advance(2000)
  assert.equal(turnedAway(), undefined)
  breaker.abandoned()
  assert.equal(turnedAway(), undefined)
  assert.ok(turnedAway() !== undefined, 'one at a time')
})

test('failures of what was on its way when it opened do not lengthen the pause', () => {
  fail(5)
  fail(20)
  clock.advance(2000)
  assert.equal(turnedAway(), undefined)
})

test('a 429 opens it at once, for as long as it was told to (U46)', () => {
  breaker.throttled(17)
  assert.equal(turnedAway(), 17)
  clock.advance(16_999)
  assert.ok(turnedAway() !== undefined)
  clock.advance(1)
  assert.equal(turnedAway(), undefined)
  assert.ok(turnedAway() !== undefined, 'one probe')
})

test('the quiet of a 429 is five seconds when it is not told, a minute when it is absurd, and never none (U46)', () => {
  for (const [told, quiet] of [
    [undefined, 5],
    [1e9, 60],
    [0, 1],
  ] as const) {
    breaker.throttled(told)
    assert.equal(turnedAway(), quiet)
    clock.advance(quiet * 1000)
    assert.equal(turnedAway(), undefined)
  }
})

test('a success that was on its way when a 429 came does not end the quiet (U46)', () => {
  breaker.throttled(10)
  breaker.succeeded()
  assert.ok(turnedAway() !== undefined)
  assert.equal(breaker.isOpen(), true)
})

test('Retry-After is seconds or a date; a date that has passed is now; anything else is nothing (U46)', (t) => {
  assert.equal(parseRetryAfter(undefined), undefined)
  assert.equal(parseRetryAfter('120'), 120)
  assert.equal(parseRetryAfter(' 0 '), 0)
  t.mock.timers.enable({ apis: ['Date'], now: Date.parse('Wed, 21 Oct 2026 07:28:00 GMT') })
  assert.equal(parseRetryAfter('Wed, 21 Oct 2026 07:28:30 GMT'), 30)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2015 07:28:00 GMT'), 0)
  for (const text of ['', 'soon', '1e400', 'NaN']) assert.equal(parseRetryAfter(text), undefined)
})

test('whatever Retry-After says, a number of seconds or nothing comes of it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double().map(String), fc.bigInt().map(String)), (text) => {
      const seconds = parseRetryAfter(text)
      return seconds === undefined || (Number.isFinite(seconds) && seconds >= 0)
    }),
  )
})
