import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { quote } from '../../src/credentials/quote.ts'

test('a plain text is unchanged', () => {
  const words = "AADSTS700016: Application with identifier '6731de76-14a6-49ae-97bc-6eba6914391e'"
  assert.equal(quote(words), words)
  assert.equal(
    quote('123456789012.dkr.ecr.us-east-1.amazonaws.com is gone'),
    '123456789012.dkr.ecr.us-east-1.amazonaws.com is gone',
  )
})

test('the result is one line of printable text with limited length', () => {
  assert.equal(quote('a\r\n\tb\u0000c\u001b[31m'), 'a b c [31m')
  assert.equal(quote('word '.repeat(1_000_000)).length, 300)
})

test('text that looks like a secret and known secrets are redacted', () => {
  assert.equal(quote('Bearer abcdefgh'), 'Bearer [redacted]')
  assert.equal(quote(`key ${'k'.repeat(40)} here`), 'key [redacted] here')
  assert.equal(
    quote('got s3cret, really s3cret', ['s3cret', '']),
    'got [redacted], really [redacted]',
  )
})

test('a secret is redacted in any context', () => {
  const secret = fc.string({
    minLength: 8,
    maxLength: 60,
    unit: fc.constantFrom(...'abXY01~_-.+/='),
  })
  fc.assert(
    fc.property(fc.string(), secret, fc.string(), (before, text, after) => {
      assert.ok(!quote(before + text + after, [text]).includes(text))
    }),
  )
})
