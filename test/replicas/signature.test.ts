import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSignatures } from '../../src/replicas/signature.ts'

const [old, current, other] = [
  'the old secret of all',
  'the new secret of all',
  'another secret...',
]
const request = { method: 'GET', target: '/v2/a/b/blobs/sha256:c' }
const signed = { ...request, writer: 'user alice' }
let time = 1_800_000_000_000
const now = () => time
const at = (secrets: string) => createSignatures(secrets, now)

test('a request is verified with its method, target and writer', () => {
  const authorization = at(current).sign(signed)
  assert.ok(!authorization.includes(current))
  assert.deepEqual(at(current).verify(authorization, request), { writer: 'user alice' })
  for (const changed of [{ method: 'PUT' }, { target: '/v2/a/c/blobs/sha256:c' }])
    assert.equal(at(current).verify(authorization, { ...request, ...changed }), undefined)
  const [scheme, sent, , signature] = authorization.split(' ')
  const bob = Buffer.from('user bob').toString('base64url')
  assert.equal(at(current).verify([scheme, sent, bob, signature].join(' '), request), undefined)
})

test('what another secret signed, or nobody, is not accepted', () => {
  for (const authorization of [at(other).sign(signed), undefined, 'Basic YTpi', 'Berth-Replica'])
    assert.equal(at(current).verify(authorization, request), undefined)
})

test('a signature is valid for five minutes, also of a clock that is ahead', () => {
  const authorization = at(current).sign(signed)
  for (const [minutes, isValid] of [
    [4, true],
    [6, false],
    [-4, true],
    [-6, false],
  ] as const) {
    time += minutes * 60_000
    assert.equal(at(current).verify(authorization, request) !== undefined, isValid)
    time -= minutes * 60_000
  }
})

test('a secret is replaced while some replicas know only the old one, and then only the new one', () => {
  const steps = [old, `${old}\n${current}`, `${current}\n${old}`, current]
  const replica = at(old)
  for (const [at_, next] of steps.entries()) {
    const last = at(steps[Math.max(0, at_ - 1)] ?? '')
    replica.use(next)
    assert.ok(replica.verify(last.sign(signed), request), next)
    assert.ok(last.verify(replica.sign(signed), request), next)
  }
})

test('a file without a secret, or with one that can be guessed, is refused', () => {
  assert.throws(() => at('\n'), /has no secret/)
  assert.throws(() => at(`${current}\nshort`), /less than 16 characters/)
})
