import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { redact } from '../../src/telemetry/telemetry.ts'
import { cpuTimeOf } from '../support/cpu-time.ts'

/** Text before and after a secret, separated by a space. */
const around = fc.stringMatching(/^[ a-z,.()]{0,20}$/)
const secret = fc.stringMatching(/^[A-Za-z0-9._~+/-]{12,60}={0,2}$/)

function hides(before: string, text: string, hidden: string, after: string): void {
  const shown = redact(`${before} ${text} ${after}`)
  assert.ok(!shown.includes(hidden), shown)
  assert.ok(shown.includes('[redacted]'))
}

test('values of authorization headers are redacted in any text', () => {
  const scheme = fc.constantFrom('Bearer', 'bearer', 'Basic', 'BASIC', 'Token')
  fc.assert(
    fc.property(around, scheme, secret, around, (before, name, value, after) =>
      hides(before, `authorization: ${name} ${value}`, value, after),
    ),
  )
})

test('user and password of a URL are redacted, also with special characters', () => {
  const password = fc.stringMatching(/^[!-.0-~]{6,40}$/)
  const scheme = fc.constantFrom('http', 'https', 'postgres', 'ftp')
  fc.assert(
    fc.property(around, scheme, password, around, (before, name, value, after) => {
      hides(before, `${name}://user:${value}@example.org:5000/path`, `user:${value}`, after)
      const shown = redact(`${name}://user:${value}@example.org:5000/path`)
      assert.ok(shown.endsWith('@example.org:5000/path'), shown)
    }),
  )
})

test('the query of a URL is redacted, because it contains the signature of a signed URL', () => {
  fc.assert(
    fc.property(around, secret, around, (before, value, after) => {
      hides(before, `https://storage.example.org/blob?X-Signature=${value}&b=2`, value, after)
      hides(before, `"http://127.0.0.1:8080/token?access_token=${value}"`, value, after)
    }),
  )
})

test('Google access tokens and JWTs are redacted anywhere', () => {
  const token = fc.stringMatching(/^[A-Za-z0-9_-]{12,40}$/)
  fc.assert(
    fc.property(around, token, token, around, (before, first, second, after) => {
      hides(before, `{"access_token":"ya29.${first}"}`, first, after)
      hides(before, `assertion=eyJ${first}.${second}.${first}`, second, after)
    }),
  )
})

test('text without secrets is unchanged', () => {
  const plain = [
    'connect ECONNREFUSED 127.0.0.1:443',
    'https://us-central1-docker.pkg.dev answered 503',
    'p/r/i has no manifest sha256:0000',
    'https://example.org/v2/a/b/manifests/v1@x',
    '',
  ]
  for (const text of plain) assert.equal(redact(text), text)
})

test('redacting twice is the same as redacting once', () => {
  fc.assert(fc.property(fc.string(), (text) => redact(redact(text)) === redact(text)))
})

test('long texts are redacted in linear time', async () => {
  const time = await cpuTimeOf(() => {
    for (const text of ['a', 'http://', 'Bearer ', 'eyJ.', 'https://x?', '://@', ' ', 'ya29.'])
      redact(text.repeat(64_000 / text.length))
  })
  assert.ok(time < 5000, `${time} ms`)
})
