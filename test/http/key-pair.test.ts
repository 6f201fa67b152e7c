import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseKeyPair, validityProblem } from '../../src/http/key-pair.ts'
import { createAuthority } from '../support/certificates.ts'

const files = ['/tls.crt', '/tls.key'] as const

test('an invalid certificate or key is reported by its file name, not by an OpenSSL code', async (t) => {
  const authority = await createAuthority('Berth Test')
  t.after(authority.remove)
  const [one, other] = [await authority.issue(['DNS:a']), await authority.issue(['DNS:b'])]
  assert.deepEqual(parseKeyPair(files, [one.certificate, one.key]), one)
  assert.equal(parseKeyPair([], []), undefined)
  for (const [certificate, key, message] of [
    ['text', one.key, '/tls.crt is not a certificate in PEM format'],
    [one.key, one.key, '/tls.crt is not a certificate in PEM format'],
    [one.certificate, '', '/tls.key is not an unencrypted private key in PEM format'],
    [one.certificate, one.certificate, '/tls.key is not an unencrypted private key in PEM format'],
    [one.certificate, other.key, 'the key in /tls.key does not match the certificate in /tls.crt'],
  ] as const)
    assert.throws(() => parseKeyPair(files, [certificate, key]), { message })
})

test('a certificate is a problem before and after its time', async (t) => {
  const authority = await createAuthority('Berth Test')
  t.after(authority.remove)
  const pair = await authority.issue(['DNS:a'])
  const day = 86_400_000
  assert.equal(validityProblem(pair), undefined)
  assert.match(validityProblem(pair, Date.now() + 3 * day) ?? '', /^the certificate expired at 20/)
  assert.match(validityProblem(pair, Date.now() - day) ?? '', /not valid before 20.*clock/)
})
