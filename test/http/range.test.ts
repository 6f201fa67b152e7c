import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseRange } from '../../src/http/range.ts'

const size = fc.nat(5000)

test('a range from one byte to another is cut at the end of the content', () => {
  fc.assert(
    fc.property(fc.nat(6000), fc.nat(6000), size, (first, last, total) => {
      const isWrong = first >= total || last < first
      const expected = isWrong ? 'unsatisfiable' : { first, last: Math.min(last, total - 1) }
      assert.deepEqual(parseRange(`bytes=${first}-${last}`, total), expected)
    }),
  )
})

test('a range without an end goes to the end', () => {
  fc.assert(
    fc.property(fc.nat(6000), size, (first, total) => {
      const expected = first >= total ? 'unsatisfiable' : { first, last: total - 1 }
      assert.deepEqual(parseRange(`bytes=${first}-`, total), expected)
    }),
  )
})

test('a range without a beginning is so many bytes of the end, or all', () => {
  fc.assert(
    fc.property(fc.nat(6000), size, (length, total) => {
      const isWrong = length === 0 || total === 0
      const expected = { first: Math.max(0, total - length), last: total - 1 }
      assert.deepEqual(parseRange(`bytes=-${length}`, total), isWrong ? 'unsatisfiable' : expected)
    }),
  )
})

test('numbers of any length are numbers', () => {
  const long = '9'.repeat(5000)
  assert.deepEqual(parseRange(`bytes=3-${long}`, 10), { first: 3, last: 9 })
  assert.deepEqual(parseRange(`bytes=-${long}`, 10), { first: 0, last: 9 })
  assert.equal(parseRange(`bytes=${long}-`, 10), 'unsatisfiable')
  assert.deepEqual(parseRange('bytes=0003-0004', 10), { first: 3, last: 4 })
})

test('several ranges, other units and nonsense are as if nothing was asked (P13)', () => {
  const strange = [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=0-1,3-4',
    'bytes=0-1,',
    'bytes=1',
    'bytes=a-b',
    'bytes=0x1-2',
    'bytes=--1',
    'bytes=1-2-3',
    'bytes=1.5-2',
    'bytes=+1-2',
    'bytes =1-2',
    'bytes=1 -2',
    'lines=1-2',
    'bytes=١-٢',
  ]
  for (const header of strange) assert.equal(parseRange(header, 10), undefined, header)
})

test('whatever is asked for, what is answered lies within the content', () => {
  const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=[0-9,-]{0,30}$/))
  fc.assert(
    fc.property(header, size, (text, total) => {
      const range = parseRange(text, total)
      if (range === undefined || range === 'unsatisfiable') return
      assert.ok(range.first >= 0 && range.first <= range.last && range.last < total)
    }),
  )
})
