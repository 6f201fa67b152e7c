import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { maxRanges, parseRanges } from '../../src/http/range.ts'

const size = fc.nat(5000)

test('a range from one byte to another is cut at the end of the content', () => {
  fc.assert(
    fc.property(fc.nat(6000), fc.nat(6000), size, (first, last, total) => {
      const isWrong = first >= total || last < first
      const expected = isWrong ? 'unsatisfiable' : [{ first, last: Math.min(last, total - 1) }]
      assert.deepEqual(parseRanges(`bytes=${first}-${last}`, total), expected)
    }),
  )
})

test('a range without an end goes to the end', () => {
  fc.assert(
    fc.property(fc.nat(6000), size, (first, total) => {
      const expected = first >= total ? 'unsatisfiable' : [{ first, last: total - 1 }]
      assert.deepEqual(parseRanges(`bytes=${first}-`, total), expected)
    }),
  )
})

test('a suffix range is the last bytes, or the whole content', () => {
  fc.assert(
    fc.property(fc.nat(6000), size, (length, total) => {
      const isWrong = length === 0 || total === 0
      const expected = [{ first: Math.max(0, total - length), last: total - 1 }]
      assert.deepEqual(parseRanges(`bytes=-${length}`, total), isWrong ? 'unsatisfiable' : expected)
    }),
  )
})

test('numbers may have any length', () => {
  const long = '9'.repeat(5000)
  assert.deepEqual(parseRanges(`bytes=3-${long}`, 10), [{ first: 3, last: 9 }])
  assert.deepEqual(parseRanges(`bytes=-${long}`, 10), [{ first: 0, last: 9 }])
  assert.equal(parseRanges(`bytes=${long}-`, 10), 'unsatisfiable')
  assert.deepEqual(parseRanges('bytes=0003-0004', 10), [{ first: 3, last: 4 }])
})

test('other units and invalid ranges are ignored (P13)', () => {
  const strange = [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=0-1,x',
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
  for (const header of strange) assert.equal(parseRanges(header, 10), undefined, header)
})

test('several ranges are sorted, and unsatisfiable ones omitted (P13)', () => {
  assert.deepEqual(parseRanges('bytes=0-1, 3-4,20-30,-1', 10), [
    { first: 0, last: 1 },
    { first: 3, last: 4 },
    { first: 9, last: 9 },
  ])
  assert.equal(parseRanges('bytes=10-11,20-', 10), 'unsatisfiable')
})

test('overlapping ranges are joined, adjacent ones are not (P13)', () => {
  assert.deepEqual(parseRanges('bytes=6-,0-2,3-4,4-5', 10), [
    { first: 0, last: 2 },
    { first: 3, last: 5 },
    { first: 6, last: 9 },
  ])
})

test('more ranges than podman requests are rejected (P13)', () => {
  const several = (count: number) =>
    `bytes=${Array.from({ length: count }, (_, at) => `${2 * at}-${2 * at}`).join(',')}`
  assert.equal(parseRanges(several(maxRanges), 10_000)?.length, maxRanges)
  assert.equal(parseRanges(several(maxRanges + 1), 10_000), 'unsatisfiable')
})

test('all parsed ranges lie within the content', () => {
  const header = fc.oneof(
    fc.string(),
    fc.stringMatching(/^bytes=[0-9]{0,4}-[0-9]{0,4}(,[0-9]{0,4}-[0-9]{0,4}){0,9}$/),
  )
  fc.assert(
    fc.property(header, size, (text, total) => {
      const ranges = parseRanges(text, total)
      if (ranges === undefined || ranges === 'unsatisfiable') return
      let before = -1
      for (const { first, last } of ranges) {
        assert.ok(first > before && first <= last && last < total)
        before = last
      }
    }),
  )
})
