import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProxies, type ForwardProxy, ProxyError } from '../../src/outbound/proxies.ts'

const both = { http: 'http://plain.test:3128', https: 'http://user:secret@tls.test:3128' }
const [plain, tls] = ['plain.test:3128', 'tls.test:3128']

function proxyOf(url: string, settings: ForwardProxy = both) {
  return createProxies(settings).for(new URL(url))?.host
}

function isExempt(url: string, no: string): boolean {
  return proxyOf(url, { ...both, no }) === undefined
}

test('each scheme has its own proxy, as in Go, and none stands in for the other (C193)', () => {
  assert.equal(proxyOf('https://ghcr.io'), tls)
  assert.equal(proxyOf('http://registry.test:5000'), plain)
  assert.equal(proxyOf('https://ghcr.io', {}), undefined)
  assert.equal(proxyOf('https://ghcr.io', { http: both.http }), undefined)
  assert.equal(proxyOf('http://registry.test', { https: both.https }), undefined)
})

test('a proxy without a scheme is reached by http (C193)', () => {
  for (const written of ['proxy.test:3128', 'http://proxy.test:3128', ' proxy.test:3128/ '])
    assert.equal(createProxies({ https: written }).https?.href, 'http://proxy.test:3128/', written)
  assert.equal(createProxies({ https: 'me:secret@proxy.test:3128' }).https?.password, 'secret')
  assert.equal(createProxies({ https: '10.1.2.3:3128' }).https?.host, '10.1.2.3:3128')
  assert.equal(createProxies({ https: 'https://proxy.test' }).https?.protocol, 'https:')
  assert.equal(createProxies({ https: '' }).https, undefined)
})

test('what is no address of a proxy is refused with its variable, and without its value', () => {
  for (const wrong of ['http://', 'ftp://proxy.test', 'secret password@proxy test:1'])
    assert.throws(
      () => createProxies({ https: wrong }),
      (error) =>
        error instanceof ProxyError &&
        /^HTTPS_PROXY is not/.test(error.message) &&
        !/secret/.test(error.message),
      wrong,
    )
})

test('this machine is reached directly', () => {
  for (const own of [
    'http://localhost:5000',
    'http://127.0.0.1:5000',
    'http://127.3.2.1',
    'http://[::1]:5000',
  ])
    assert.ok(isExempt(own, ''), own)
})

test('NO_PROXY names domains, hosts and ports', () => {
  const cases: readonly [no: string, url: string, isExempt: boolean][] = [
    ['other.test, ghcr.io', 'https://ghcr.io', true],
    ['other.test ghcr.io', 'https://ghcr.io', true],
    ['GHCR.io', 'https://ghcr.io', true],
    ['ghcr.io', 'https://a.ghcr.io', true],
    ['ghcr.io', 'https://notghcr.io', false],
    ['.ghcr.io', 'https://a.ghcr.io', true],
    ['.ghcr.io', 'https://ghcr.io', false],
    ['*.ghcr.io', 'https://a.ghcr.io', true],
    ['*.ghcr.io', 'https://ghcr.io', false],
    ['*', 'https://anything.test', true],
    ['registry.test:5000', 'https://registry.test:5000', true],
    ['registry.test:5000', 'https://registry.test:5001', false],
    ['registry.test:443', 'https://registry.test', true],
    ['registry.test:80', 'http://registry.test', true],
    ['registry.test', 'https://registry.test.', true],
    [':443', 'https://registry.test', false],
  ]
  for (const [no, url, expected] of cases)
    assert.equal(isExempt(url, no), expected, `NO_PROXY=${no} ${url}`)
})

test('NO_PROXY names addresses and CIDR ranges (C193)', () => {
  const cases: readonly [no: string, url: string, isExempt: boolean][] = [
    ['10.0.0.0/8', 'https://10.20.30.40:5000', true],
    ['10.0.0.0/8', 'https://11.0.0.1', false],
    ['10.0.0.0/8', 'https://ten.test', false],
    ['172.16.0.0/12,192.168.0.0/16', 'http://192.168.1.1', true],
    ['192.168.1.1', 'https://192.168.1.1', true],
    ['192.168.1.1:5000', 'https://192.168.1.1:5000', true],
    ['192.168.1.1:5000', 'https://192.168.1.1', false],
    ['fd00::/8', 'https://[fd12::1]:5000', true],
    ['fd00::/8', 'https://10.0.0.1', false],
    ['fd12:0::1', 'https://[fd12::1]', true],
    ['[fd12::1]:5000', 'https://[fd12::1]:5000', true],
    ['[fd12::1]:5000', 'https://[fd12::1]', false],
    ['10.0.0.0/8', 'https://[::ffff:10.0.0.1]', true],
    ['10.0.0.0/99', 'https://10.0.0.1', false],
  ]
  for (const [no, url, expected] of cases)
    assert.equal(isExempt(url, no), expected, `NO_PROXY=${no} ${url}`)
})
