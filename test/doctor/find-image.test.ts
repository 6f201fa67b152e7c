import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { findImage } from '../../src/doctor/find-image.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { formatReference } from '../../src/oci/reference.ts'

const repositories = ['**']
const configured = {
  upstreams: [
    { prefix: '', url: 'https://us-central1-docker.pkg.dev', repositories },
    { prefix: 'docker.io', url: 'https://registry-1.docker.io', repositories },
    { prefix: 'docker.io/mine', url: 'https://hub.example.com:8443', repositories },
    { prefix: 'few', url: 'https://few.example.com', repositories: ['team/*'] },
  ],
  hosted: [{ prefix: 'local' }],
}
const digest = digestOf(Buffer.from('x'))

function found(requested: string): string {
  const { upstream, image } = findImage(requested, configured)
  return `${new URL(upstream.url).host} ${image.name} ${formatReference(image.reference)}`
}

suite('findImage', () => {
  test('finds the upstream with the longest prefix, as the server does', () => {
    for (const [requested, expected] of [
      ['localhost:30026/p/r/i:v1', 'us-central1-docker.pkg.dev p/r/i v1'],
      ['p/r/i', 'us-central1-docker.pkg.dev p/r/i latest'],
      ['10.0.0.7:30026/p/r/i', 'us-central1-docker.pkg.dev p/r/i latest'],
      [`p/r/i:v1@${digest}`, `us-central1-docker.pkg.dev p/r/i ${digest}`],
      ['docker.io/library/busybox', 'registry-1.docker.io library/busybox latest'],
      ['localhost:30026/docker.io/library/busybox:1', 'registry-1.docker.io library/busybox 1'],
      ['docker.io/mine/app', 'hub.example.com:8443 app latest'],
      ['few/team/app', 'few.example.com team/app latest'],
    ])
      assert.equal(found(requested ?? ''), expected)
  })

  test("accepts the upstream's own reference of an image", () => {
    assert.equal(
      found('us-central1-docker.pkg.dev/p/r/i:v1'),
      'us-central1-docker.pkg.dev p/r/i v1',
    )
    assert.equal(found('hub.example.com:8443/app'), 'hub.example.com:8443 app latest')
  })

  test('rejects a hosted name, an excluded repository and an unknown host', () => {
    for (const [requested, reason] of [
      ['local/app', /hosted by Berth itself/],
      ['few/other/app', /not served/],
      ['quay.io/owner/app', /no upstream is configured for quay\.io/],
    ] as const)
      assert.throws(() => found(requested), reason)
  })

  test('throws only RegistryErrors', () => {
    const part = fc.stringMatching(/^[a-zA-Z0-9._:@/ -]{0,20}$/)
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/')),
    )
    fc.assert(
      fc.property(texts, (text) => {
        try {
          findImage(text, configured)
        } catch (error) {
          assert.ok(isRegistryError(error), String(error))
        }
      }),
    )
  })
})
