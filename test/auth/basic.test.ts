import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseBasic } from '../../src/auth/basic.ts'

const encode = (text: string) => Buffer.from(text).toString('base64')
/** A user name or password: any text without control characters. */
const text = fc.string({ unit: 'binary' }).map((raw) => raw.replace(/\p{Cc}|\p{Cs}|^\ufeff/gu, ''))

test('user name and password are decoded, with colons in the password', () => {
  fc.assert(
    fc.property(text, text, (user, password) => {
      const username = user.replaceAll(':', '')
      const header = `Basic ${encode(`${username}:${password}`)}`
      assert.deepEqual(parseBasic(header), { username, password })
    }),
  )
})

test('the scheme is case-insensitive, and spaces may surround the credentials (RFC 9110)', () => {
  const expected = { username: 'a', password: 'b' }
  for (const header of ['basic YTpi', 'BASIC YTpi', 'BaSiC  YTpi ', 'Basic   YTpi  '])
    assert.deepEqual(parseBasic(header), expected)
  assert.deepEqual(parseBasic(`Basic ${Buffer.from('ü:ß').toString('base64url')}`), {
    username: 'ü',
    password: 'ß',
  })
})

test('invalid Basic credentials are rejected (A100)', () => {
  const invalid = [
    '',
    'Basic',
    'Basic ',
    'Bearer YTpi',
    'Basic,YTpi',
    'BasicYTpi',
    'Basic YTpi YTpi',
    'Basic Y T p i',
    'Basic YTpi==,Basic YTpi',
    'Basic ====',
    `Basic ${encode('nocolon')}`,
    `Basic ${encode('a:b\0')}`,
    `Basic ${encode('a:b\n')}`,
    `Basic ${encode('a\u0085:b')}`,
    `Basic ${Buffer.from([0x61, 0x3a, 0xff, 0xfe]).toString('base64')}`,
    `Basic ${Buffer.from([0xc0, 0xaf, 0x3a, 0x61]).toString('base64')}`,
    `Basic ${encode(`a:${'b'.repeat(16_384)}`)}`,
  ]
  for (const header of invalid) assert.equal(parseBasic(header), undefined, header.slice(0, 60))
  assert.deepEqual(parseBasic(`Basic ${encode(':')}`), { username: '', password: '' })
})

test('any header is parsed or rejected without an exception', () => {
  const header = fc.oneof(
    fc.string(),
    fc.base64String().map((value) => `Basic ${value}`),
  )
  fc.assert(
    fc.property(header, (value) => {
      const basic = parseBasic(value)
      if (basic !== undefined) assert.doesNotMatch(basic.username + basic.password, /\p{Cc}/u)
    }),
  )
})
