import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createOrigins } from '../../src/remote/origins.ts'

const own = 'https://registry.example.com'

type Asked = {
  readonly own?: string
  readonly realms?: readonly string[]
  readonly redirects?: readonly string[]
}

function realm(url: string, { own: at = own, realms = [], redirects = [] }: Asked = {}) {
  return createOrigins({ own: at, realms, redirects }).realm(new URL(url))
}

function redirect(url: string, { own: at = own, realms = [], redirects = [] }: Asked = {}) {
  return createOrigins({ own: at, realms, redirects }).redirect(new URL(url))
}

test("the upstream's own origin is its own, by scheme, host and port", () => {
  assert.equal(realm('https://registry.example.com/token'), 'own')
  assert.equal(realm('https://REGISTRY.example.com:443/token'), 'own')
  assert.equal(redirect('https://registry.example.com/elsewhere?x=1'), 'own')
})

test('the same host with http is another origin (U49, U52)', () => {
  assert.equal(realm('http://registry.example.com/token'), undefined)
  assert.equal(redirect('http://registry.example.com/blob'), undefined)
})

test('another port of the same host is a sibling, over https only', () => {
  assert.equal(realm('https://registry.example.com:8443/token'), 'sibling')
  assert.equal(realm('http://registry.example.com:8080/token'), undefined)
})

test('another port of the same private address is a sibling, one of a loopback address is rejected (C188)', () => {
  for (const address of ['10.0.0.1', '192.168.1.1', '[fd12::1]']) {
    const own = `https://${address}:5050`
    assert.equal(realm(`https://${address}/jwt/auth`, { own }), 'sibling', address)
    assert.equal(redirect(`https://${address}:9000/x`, { own }), 'sibling', address)
    assert.equal(realm(`http://${address}/jwt/auth`, { own }), undefined, address)
    assert.equal(realm('https://10.0.0.2/jwt/auth', { own }), undefined, address)
  }
  for (const address of ['127.0.0.1', '169.254.169.254', '[::1]', '[fd00:ec2::254]']) {
    const own = `https://${address}:5050`
    assert.equal(realm(`https://${address}/jwt/auth`, { own }), undefined, address)
    assert.equal(redirect(`https://${address}:9000/x`, { own }), undefined, address)
  }
})

test('a realm in the same registrable domain is allowed, one in another is not (U52)', () => {
  assert.equal(realm('https://auth.example.com/token'), 'sibling')
  assert.equal(realm('https://example.com/token'), 'sibling')
  assert.equal(realm('https://example.org/token'), undefined)
  assert.equal(realm('https://example.com.evil.org/token'), undefined)
  assert.equal(realm('https://evilexample.com/token'), undefined)
})

test('hosts below a public suffix, private ones included, are not siblings', () => {
  assert.equal(realm('https://b.github.io/token', { own: 'https://a.github.io' }), undefined)
  assert.equal(realm('https://b.co.uk/token', { own: 'https://a.co.uk' }), undefined)
  const own = 'https://us-central1-docker.pkg.dev'
  assert.equal(realm('https://us-central1-docker.pkg.dev/v2/token', { own }), 'own')
  assert.equal(
    realm('https://auth.docker.io/token', { own: 'https://registry-1.docker.io' }),
    'sibling',
  )
})

test('hosts without a registrable domain have no siblings', () => {
  for (const at of ['https://localhost', 'https://10.0.0.1', 'https://[::1]', 'https://registry'])
    assert.equal(realm('https://10.0.0.2/token', { own: at }), undefined, at)
})

test('userinfo is rejected in every URL, also of the own origin and of listed ones (U52)', () => {
  const listed = { realms: ['auth.other.org'], redirects: ['auth.other.org'] }
  for (const url of [
    'https://user@registry.example.com/token',
    'https://user:secret@auth.other.org/token',
    'https://:secret@storage.googleapis.com/x',
  ]) {
    assert.equal(realm(url, listed), undefined, url)
    assert.equal(redirect(url, listed), undefined, url)
  }
})

test('literal private addresses are rejected in every spelling (U50)', () => {
  const inward = [
    'https://127.0.0.1/x',
    'https://2130706433/x',
    'https://0x7f.1/x',
    'https://169.254.169.254/computeMetadata',
    'https://10.0.0.1/x',
    'https://192.168.0.1/x',
    'https://[::1]/x',
    'https://[::ffff:127.0.0.1]/x',
    'https://[fd00:ec2::254]/x',
  ]
  for (const url of inward) {
    assert.equal(redirect(url), undefined, url)
    assert.equal(realm(url), undefined, url)
  }
})

test('content with a digest may be redirected to any public host, over https only (C185)', () => {
  assert.equal(redirect('https://storage.googleapis.com/b/o?sig=1'), 'foreign')
  assert.equal(redirect('https://production.cloudfront.docker.com/x'), 'foreign')
  assert.equal(redirect('https://nobody.listed.this.example:8443/x'), 'foreign')
  assert.equal(redirect('http://storage.googleapis.com/b/o'), undefined)
})

test('tags and lists, which no digest verifies, may be redirected within the domain and to listed hosts only', () => {
  const { redirect } = createOrigins({ own, realms: [], redirects: ['cdn.other.org'] })
  assert.equal(redirect(new URL('https://github.com/x'), 'name'), undefined)
  assert.equal(redirect(new URL('https://api.example.com/x'), 'name'), 'sibling')
  assert.equal(redirect(new URL('https://cdn.other.org/x'), 'name'), 'listed')
})

test('registry.k8s.io may redirect tags to Artifact Registry, and to no other host', () => {
  const k8s = createOrigins({ own: 'https://registry.k8s.io', realms: [], redirects: [] })
  const other = createOrigins({ own, realms: [], redirects: [] })
  const target = new URL('https://us-west1-docker.pkg.dev/v2/k8s-artifacts-prod/images/pause')
  assert.equal(k8s.redirect(target, 'name'), 'foreign')
  assert.equal(other.redirect(target, 'name'), undefined)
  assert.equal(k8s.redirect(new URL('https://pkg.dev.example/v2/'), 'name'), undefined)
})

test('a realm in another domain may get anonymous requests, which contain no secret', () => {
  const { realm } = createOrigins({ own: 'https://lscr.io', realms: [], redirects: [] })
  const ghcr = new URL('https://ghcr.io/token')
  assert.equal(realm(ghcr, 'anonymous'), 'foreign')
  assert.equal(realm(ghcr, 'credential'), undefined)
  for (const url of ['http://ghcr.io/token', 'https://10.0.0.1/token', 'https://me@ghcr.io/token'])
    assert.equal(realm(new URL(url), 'anonymous'), undefined, url)
})

test('a well-known object store is not a token realm', () => {
  assert.equal(realm('https://storage.googleapis.com/token'), undefined)
})

test('listed origins are allowed: a host, a wildcard, a port, plain http', () => {
  const redirects = ['cdn.other.org', '*.wild.org', 'port.org:8443', 'http://10.0.0.1:5000']
  const expected = {
    'https://cdn.other.org/x': 'listed',
    'https://cdn.other.org:443/x': 'listed',
    'http://cdn.other.org/x': undefined,
    'https://cdn.other.org:8443/x': 'foreign',
    'https://sub.cdn.other.org/x': 'foreign',
    'https://a.wild.org/x': 'listed',
    'https://a.b.wild.org/x': 'listed',
    'https://wild.org/x': 'foreign',
    'https://notwild.org/x': 'foreign',
    'https://port.org:8443/x': 'listed',
    'https://port.org/x': 'foreign',
    'http://10.0.0.1:5000/x': 'listed',
    'https://10.0.0.1:5000/x': undefined,
    'http://10.0.0.1/x': undefined,
  }
  for (const [url, trust] of Object.entries(expected))
    assert.equal(redirect(url, { redirects }), trust, url)
})

test('the lists of realms and redirects are independent', () => {
  const lists = { realms: ['auth.other.org'], redirects: ['cdn.other.org'] }
  assert.equal(realm('https://auth.other.org/token', lists), 'listed')
  assert.equal(redirect('https://auth.other.org/x', lists), 'foreign')
  assert.equal(realm('https://cdn.other.org/token', lists), undefined)
  assert.equal(redirect('https://cdn.other.org/x', lists), 'listed')
})

test('a listed name is not case-sensitive', () => {
  assert.equal(redirect('https://cdn.other.org/x', { redirects: ['CDN.Other.org'] }), 'listed')
})

test('other schemes are never allowed', () => {
  for (const url of ['file:///etc/passwd', 'data:text/plain,x', 'ftp://registry.example.com/x']) {
    assert.equal(redirect(url), undefined, url)
    assert.equal(realm(url), undefined, url)
  }
})

test('of any URLs that are not listed, only https and the own origin are allowed', () => {
  const { realm, redirect } = createOrigins({ own, realms: [], redirects: [] })
  fc.assert(
    fc.property(fc.webUrl({ withQueryParameters: true }), fc.boolean(), (text, plain) => {
      const url = new URL(plain ? text.replace(/^https:/, 'http:') : text)
      for (const trust of [realm(url), redirect(url)])
        assert.ok(trust === undefined || trust === 'own' || url.protocol === 'https:')
    }),
  )
})

test("an Azure registry's storage is foreign, its own data endpoints are siblings", () => {
  const own = 'https://contoso.azurecr.io'
  assert.equal(redirect('https://eusmanaged3.blob.core.windows.net/x', { own }), 'foreign')
  assert.equal(redirect('https://contoso.eastus.data.azurecr.io/x', { own }), 'sibling')
  assert.equal(realm('https://managed3.blob.core.windows.net/token', { own }), undefined)
})
