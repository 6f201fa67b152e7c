import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { isRegistryError } from '../../src/oci/errors.ts'
import { createThrottle, parseRetryAfter, type Throttle } from '../../src/remote/throttle.ts'
import { type Clock, useClock } from '../support/clock.ts'

let clock: Clock
let throttle: Throttle

beforeEach((t) => {
  clock = useClock(t)
  throttle = createThrottle('not requesting manifests from https://up')
})

test('a 429 delays requests for its Retry-After, and then admits one probe (U46)', () => {
  throttle.throttled(17)
  assert.equal(throttle.wait(), 17_000)
  clock.advance(16_999)
  assert.equal(throttle.wait(), 1)
  clock.advance(1)
  assert.equal(throttle.wait(), 0)
  throttle.enter()
  assert.ok(throttle.wait() > 0, 'one probe')
  throttle.answered()
  assert.equal(throttle.wait(), 0)
})

test('the throttle after a 429 is five seconds without Retry-After, at most a minute, and never zero (U46)', () => {
  for (const [told, seconds] of [
    [undefined, 5],
    [1e9, 60],
    [0, 1],
  ] as const) {
    throttle.throttled(told)
    assert.equal(throttle.wait(), seconds * 1000)
    assert.throws(
      () => throttle.check(),
      (error) => {
        assert.ok(isRegistryError(error, 'TOOMANYREQUESTS'))
        assert.match(
          error.message,
          /^not requesting manifests from https:\/\/up: throttled for \d+ s/,
        )
        return error.retryAfter === seconds
      },
    )
    clock.advance(seconds * 1000)
    throttle.check()
  }
})

test('requests that are held back say why the upstream throttles', () => {
  throttle.throttled(10, 'the limit of anonymous pulls is reached')
  assert.throws(() => throttle.check(), /after 429 \(the limit of anonymous pulls is reached\)$/)
})

test('an answer that was in flight when a 429 arrived does not end the throttle (U46)', () => {
  throttle.throttled(10)
  throttle.answered()
  assert.equal(throttle.wait(), 10_000)
})

test('a probe without an answer or without a result is followed by another', () => {
  throttle.throttled(1)
  clock.advance(1000)
  throttle.enter()
  clock.advance(19_999)
  assert.ok(throttle.wait() > 0)
  clock.advance(1)
  assert.equal(throttle.wait(), 0)
  throttle.enter()
  throttle.abandoned()
  assert.equal(throttle.wait(), 0)
})

test('Retry-After is seconds or a date; a past date is zero; other values are ignored (U46)', (t) => {
  assert.equal(parseRetryAfter(undefined), undefined)
  assert.equal(parseRetryAfter('120'), 120)
  assert.equal(parseRetryAfter(' 0 '), 0)
  t.mock.timers.enable({ apis: ['Date'], now: Date.parse('Wed, 21 Oct 2026 07:28:00 GMT') })
  assert.equal(parseRetryAfter('Wed, 21 Oct 2026 07:28:30 GMT'), 30)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2015 07:28:00 GMT'), 0)
  for (const text of ['', 'soon', '1e400', 'NaN', '-5', '5, 10', '1,5', '0x10'])
    assert.equal(parseRetryAfter(text), undefined, text)
})

test('a Retry-After of any length is a number, also with a fraction', () => {
  assert.equal(parseRetryAfter('1.5'), 1.5)
  for (const digits of [10, 20, 400])
    assert.ok(Number(parseRetryAfter('9'.repeat(digits))) >= 999_999_999)
})

test('the date of a Retry-After is compared with that of its response, whatever time it is here', () => {
  const sent = 'Wed, 21 Oct 2015 07:28:00 GMT'
  assert.equal(parseRetryAfter('Wed, 21 Oct 2015 07:28:30 GMT', sent), 30)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2015 07:27:30 GMT', sent), 0)
  assert.equal(parseRetryAfter('30', sent), 30)
})

test('any Retry-After is parsed to a number of seconds or undefined', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double().map(String), fc.bigInt().map(String)), (text) => {
      const seconds = parseRetryAfter(text)
      return seconds === undefined || (Number.isFinite(seconds) && seconds >= 0)
    }),
  )
})
