import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proxyFor } from '../../src/cli/proxy-for.ts'

const both = {
  http: 'http://plain.test:3128',
  https: 'http://user:secret@tls.test:3128',
  no: undefined,
}
const [plain, tls] = ['plain.test:3128', 'tls.test:3128']

function proxyOf(url: string, settings: Partial<Parameters<typeof proxyFor>[1]> = both) {
  return proxyFor(new URL(url), { http: undefined, https: undefined, no: undefined, ...settings })
}

test('each scheme has its proxy, told without user and password', () => {
  assert.equal(proxyOf('https://ghcr.io'), tls)
  assert.equal(proxyOf('http://registry.test:5000'), plain)
  assert.equal(proxyOf('https://ghcr.io', {}), undefined)
})

test('the proxy for http is one for https as well where there is no other, and not the other way round', () => {
  assert.equal(proxyOf('https://ghcr.io', { http: both.http }), plain)
  assert.equal(proxyOf('http://registry.test', { https: both.https }), undefined)
})

test('what NO_PROXY names, and this machine, is reached directly', () => {
  const exempt = (url: string, no: string) => proxyOf(url, { ...both, no }) === undefined
  for (const own of ['http://localhost:5000', 'http://127.0.0.1:5000', 'http://[::1]:5000'])
    assert.ok(exempt(own, ''), own)
  assert.ok(exempt('https://ghcr.io', 'other.test, ghcr.io'))
  assert.ok(exempt('https://a.ghcr.io', 'ghcr.io'))
  assert.ok(exempt('https://a.ghcr.io', '.ghcr.io'))
  assert.ok(exempt('https://a.ghcr.io', '*.ghcr.io'))
  assert.ok(exempt('https://anything.test', '*'))
  assert.ok(!exempt('https://notghcr.io', 'ghcr.io'))
  assert.ok(exempt('https://registry.test:5000', 'registry.test:5000'))
  assert.ok(!exempt('https://registry.test:5001', 'registry.test:5000'))
  assert.ok(exempt('https://registry.test', 'registry.test:443'))
  assert.ok(exempt('http://registry.test', 'registry.test:80'))
})
