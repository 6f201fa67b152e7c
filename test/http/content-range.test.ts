import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseContentRange } from '../../src/http/content-range.ts'
import { isRegistryError } from '../../src/oci/errors.ts'

test('the forms of the specification, of RFC 9110 and of docker are accepted', () => {
  for (const header of ['10-19', 'bytes 10-19/*', 'bytes 10-19/100', 'bytes=10-19', ' 10-19 '])
    assert.deepEqual(parseContentRange(header, 10), { first: 10, size: 10 }, header)
  assert.deepEqual(parseContentRange('0-0', undefined), { first: 0, size: 1 })
  assert.equal(parseContentRange(undefined, 10), undefined)
})

test('a malformed range, and one of another length than the body, are 416 (H116)', () => {
  for (const header of [
    '',
    '-',
    '5',
    '5-',
    '-5',
    '5-4',
    'a-b',
    '1-2,4-5',
    '0x1-2',
    `0-${'9'.repeat(20)}`,
  ])
    assert.throws(
      () => parseContentRange(header, undefined),
      { code: 'BLOB_UPLOAD_INVALID', status: 416 },
      header,
    )
  assert.throws(() => parseContentRange('0-9', 11), { status: 416 })
})

test('any text is a range or an error of the API', () => {
  fc.assert(
    fc.property(fc.string(), fc.option(fc.nat(), { nil: undefined }), (header, length) => {
      try {
        const range = parseContentRange(header, length)
        assert.ok(range !== undefined && Number.isSafeInteger(range.first))
      } catch (error) {
        assert.ok(isRegistryError(error, 'BLOB_UPLOAD_INVALID'), String(error))
      }
    }),
  )
})
