import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { findTarget } from '../../src/doctor/target.ts'
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

function found(asked: string): string {
  const { upstream, target } = findTarget(asked, configured)
  return `${new URL(upstream.url).host} ${target.name} ${formatReference(target.reference)}`
}

suite('the upstream of a reference', () => {
  test('is that of the longest prefix, as the server finds it', () => {
    for (const [asked, expected] of [
      ['localhost:30026/p/r/i:v1', 'us-central1-docker.pkg.dev p/r/i v1'],
      ['p/r/i', 'us-central1-docker.pkg.dev p/r/i latest'],
      ['10.0.0.7:30026/p/r/i', 'us-central1-docker.pkg.dev p/r/i latest'],
      [`p/r/i:v1@${digest}`, `us-central1-docker.pkg.dev p/r/i ${digest}`],
      ['docker.io/library/busybox', 'registry-1.docker.io library/busybox latest'],
      ['localhost:30026/docker.io/library/busybox:1', 'registry-1.docker.io library/busybox 1'],
      ['docker.io/mine/app', 'hub.example.com:8443 app latest'],
      ['few/team/app', 'few.example.com team/app latest'],
    ])
      assert.equal(found(asked ?? ''), expected)
  })

  test('may be named by its own host, as the image is called there', () => {
    assert.equal(
      found('us-central1-docker.pkg.dev/p/r/i:v1'),
      'us-central1-docker.pkg.dev p/r/i v1',
    )
    assert.equal(found('hub.example.com:8443/app'), 'hub.example.com:8443 app latest')
  })

  test('is none for a hosted name, one that is not served, and a host that is not configured', () => {
    for (const [asked, why] of [
      ['local/app', /hosted by Berth itself/],
      ['few/other/app', /not served/],
      ['quay.io/owner/app', /no upstream is configured for quay\.io/],
    ] as const)
      assert.throws(() => found(asked), why)
  })

  test('is found or refused with a sentence, whatever is asked for', () => {
    const part = fc.stringMatching(/^[a-zA-Z0-9._:@/ -]{0,20}$/)
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/')),
    )
    fc.assert(
      fc.property(texts, (text) => {
        try {
          findTarget(text, configured)
        } catch (error) {
          assert.ok(isRegistryError(error), String(error))
        }
      }),
    )
  })
})
