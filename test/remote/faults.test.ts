import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RegistryError } from '../../src/oci/errors.ts'
import { toUpstreamFailure, UpstreamFailure } from '../../src/remote/faults.ts'

const origin = 'https://up.example'

function faultOf(error: unknown): UpstreamFailure {
  const failure = toUpstreamFailure(error, origin)
  assert.ok(failure instanceof UpstreamFailure)
  assert.match(failure.message, /^cannot use https:\/\/up\.example: /)
  return failure
}

function withCode(code: string, message = 'foreign words', cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code })
}

const expected = {
  ECONNREFUSED: ['unreachable', 503],
  ENOTFOUND: ['unreachable', 503],
  EAI_AGAIN: ['unreachable', 503],
  UND_ERR_CONNECT_TIMEOUT: ['unreachable', 503],
  UND_ERR_HEADERS_TIMEOUT: ['slow', 504],
  UND_ERR_BODY_TIMEOUT: ['slow', 504],
  UND_ERR_SOCKET: ['broken', 503],
  ECONNRESET: ['broken', 503],
  EPIPE: ['broken', 503],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['broken', 503],
  CERT_HAS_EXPIRED: ['untrusted', 502],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['untrusted', 502],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['untrusted', 502],
  ERR_TLS_CERT_ALTNAME_INVALID: ['untrusted', 502],
  ERR_SSL_WRONG_VERSION_NUMBER: ['untrusted', 502],
  HPE_INVALID_CONSTANT: ['garbled', 502],
  UND_ERR_HEADERS_OVERFLOW: ['garbled', 502],
} as const

for (const [code, [fault, status]] of Object.entries(expected)) {
  test(`${code} is ${fault}, ${status}`, () => {
    const failure = faultOf(withCode(code))
    assert.equal(failure.fault, fault)
    assert.equal(failure.status, status)
    assert.equal(failure.code, 'UNAVAILABLE')
    assert.ok((failure.retryAfter ?? 0) > 0)
  })
}

test('the reason of the first of several failed addresses is reported (U23)', () => {
  const failure = faultOf(new AggregateError([withCode('ECONNREFUSED'), withCode('ENETUNREACH')]))
  assert.match(failure.message, /connection refused/)
})

test('the cause of a socket error is reported', () => {
  const failure = faultOf(withCode('UND_ERR_SOCKET', 'other side closed', withCode('ECONNREFUSED')))
  assert.match(failure.message, /connection refused/)
})

test('a RegistryError is not translated', () => {
  const error = new RegistryError('DENIED')
  assert.equal(toUpstreamFailure(error, origin), error)
})

test('texts of other libraries do not reveal a credential', () => {
  const message = faultOf(new Error('bad proxy http://user:canary@proxy:1/?sig=canary')).message
  assert.ok(!message.includes('canary'))
})

test('any thrown value becomes a RegistryError, with its cause for the log', () => {
  fc.assert(
    fc.property(fc.anything(), (thrown) => {
      const failure = toUpstreamFailure(thrown, origin)
      return failure instanceof RegistryError && Object.is(failure.cause, thrown)
    }),
  )
  const empty = new AggregateError([])
  assert.equal(faultOf(empty).cause, empty)
})
