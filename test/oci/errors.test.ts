import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ErrorCode, errorBody, isRegistryError, RegistryError } from '../../src/oci/errors.ts'

/** The specification's table of error codes, and the status that goes with each. */
const specified: readonly (readonly [ErrorCode, number])[] = [
  ['BLOB_UNKNOWN', 404],
  ['BLOB_UPLOAD_INVALID', 400],
  ['BLOB_UPLOAD_UNKNOWN', 404],
  ['DIGEST_INVALID', 400],
  ['MANIFEST_BLOB_UNKNOWN', 404],
  ['MANIFEST_INVALID', 400],
  ['MANIFEST_UNKNOWN', 404],
  ['NAME_INVALID', 400],
  ['NAME_UNKNOWN', 404],
  ['SIZE_INVALID', 400],
  ['UNAUTHORIZED', 401],
  ['DENIED', 403],
  ['UNSUPPORTED', 405],
  ['TOOMANYREQUESTS', 429],
]

test('every code of the specification has a status and a message (P20)', () => {
  for (const [code, status] of specified) {
    const error = new RegistryError(code)
    assert.equal(error.status, status)
    assert.notEqual(error.message, '')
    assert.equal(error.cause, undefined)
  }
})

test('options of an error override the defaults of its code', () => {
  const cause = new Error('below')
  const error = new RegistryError('SIZE_INVALID', {
    message: 'm',
    advice: 'do this',
    status: 416,
    retryAfter: 3,
    cause,
  })
  assert.deepEqual(
    { ...error, message: error.message, cause: error.cause },
    {
      name: 'RegistryError',
      code: 'SIZE_INVALID',
      status: 416,
      retryAfter: 3,
      advice: 'do this',
      message: 'm; do this',
      cause,
    },
  )
})

test('the body of an error is JSON as specified, for any message', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (message) => {
      const { errors } = JSON.parse(errorBody(new RegistryError('DENIED', { message })))
      assert.deepEqual(errors, [{ code: 'DENIED', message }])
    }),
  )
})

test('isRegistryError checks class and code', () => {
  const error = new RegistryError('DENIED')
  assert.ok(isRegistryError(error))
  assert.ok(isRegistryError(error, 'UNAUTHORIZED', 'DENIED'))
  assert.ok(!isRegistryError(error, 'UNAUTHORIZED'))
  for (const other of [new Error('DENIED'), { code: 'DENIED', status: 403 }, undefined, 'DENIED'])
    assert.ok(!isRegistryError(other))
})
